"""The application object for a WSGI server: `granian --interface wsgi fhir_dmp.wsgi:application`.

`fhir-dmp serve` runs this; a store in memory gets its demo record here, because it lives in this process only.
"""

from __future__ import annotations

import gc
import os
import sys
from multiprocessing import util

from fhir_dmp import bootstrap, logs
from fhir_dmp.configuration import load
from fhir_dmp.http import app

logs.configure(sys.stderr)
services = bootstrap.build(load())
bootstrap.publish_definitions(services)
if os.environ.get("FHIR_DMP_DEMO") == "load":
    bootstrap.load_demo(services)
# A worker is a child process: it runs these on a graceful stop, and no atexit handler.
util.Finalize(None, services.close, exitpriority=10)
services.start()
application = app.application(services)
# Tables and code stay for good: the collector need not look at them again. Requests make few cycles and many objects.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
