"""What the processes of the server say to their operator: one JSON object a line on stderr, as the access log does.

Never a traceback of many lines, and never the message of an unknown error, which may quote data: types and places.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TextIO

from fhir_dmp.errors import told

#: Libraries speak when something is wrong; this project also when it is right again.
_OURS, _OTHERS = logging.INFO, logging.WARNING


class OneLine(logging.Formatter):
    """A record as one JSON object: time, level, where it comes from, message, and the error if there was one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        shown = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            shown["error"] = told(record.exc_info[1])
        return json.dumps(shown, ensure_ascii=False)


def configure(stream: TextIO) -> None:
    """Send the log of this process to a stream, once: a second call replaces the first."""
    root = logging.getLogger()
    for each in [handler for handler in root.handlers if isinstance(handler.formatter, OneLine)]:
        root.removeHandler(each)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine())
    root.addHandler(handler)
    root.setLevel(_OTHERS)
    logging.getLogger("fhir_dmp").setLevel(_OURS)
