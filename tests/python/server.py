"""A server with ranges, as those of dumps are, whose answers can be made to fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves the same bytes by every name."""

    daemon_threads = True

    def __init__(self, served: bytes) -> None:
        """A server of these bytes that has not begun."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.served = served
        self.broken = False
        self.requests = 0

    def address(self, name: str) -> str:
        """The address of the bytes by this name."""
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    """Answers a request for a range."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:  # noqa: N802
        """The range; or, of a server that was broken, that there is none."""
        self.server.requests += 1
        if self.server.broken:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole = self.server.served
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last), len(whole) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(whole)}")
        self.send_header("Content-Length", str(end + 1 - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(whole[start : end + 1])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


@contextmanager
def serving(served: bytes) -> Iterator[Server]:
    """A server of these bytes, as long as the block lasts."""
    server = Server(served)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
