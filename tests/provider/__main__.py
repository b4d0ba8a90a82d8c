"""`python -m tests.provider --port 9100`: run the provider until it is stopped; port 0 takes a free one."""

from __future__ import annotations

import argparse
import os
import warnings

from werkzeug.serving import make_server


def main() -> None:
    """Run."""
    # This provider is plain http on this machine only; Authlib wants to be told.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    warnings.simplefilter("ignore")
    from tests.provider.app import CLIENT_ID, CLIENT_SECRET, create

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    port = parser.parse_args().port
    server = make_server("127.0.0.1", port, lambda environ, start: app(environ, start), threaded=True)
    issuer = f"http://127.0.0.1:{server.server_port}"
    app = create(issuer)
    print(f"{issuer}/.well-known/openid-configuration client_id={CLIENT_ID} client_secret={CLIENT_SECRET}", flush=True)
    server.serve_forever()


main()
