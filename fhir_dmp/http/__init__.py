"""HTTP: wire bytes in, wire bytes out; the only room that knows Flask and WSGI."""
