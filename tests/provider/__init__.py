"""A real OpenID provider on its own port, for tests and demonstrations: Pro Santé Connect and FranceConnect+ in small.

Built on Authlib's server side. `python -m tests.provider --port 9100` runs it; docs/developer.md says how to connect a
server to it. People and their claims are in `people.py`; nobody there exists. `POST /control` tells it to misbehave.
"""
