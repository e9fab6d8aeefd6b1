"""A store as S3's, moto's, a server before it whose answers can be made to fail, and the command, which tells no secret."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from conftest import SNAPSHOTS

BUCKET = "dumps"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"
# Azurite's own, which its documentation prints.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
NAMES = ["deb11-5.10-amd64", "deb12-6.1-amd64"]
OSIER = Path(sys.executable).parent / "osier"
# What befalls the answer of this number, from 0 on.
Fault = Callable[[int], str]


def osier(*arguments: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """What the command says."""
    done = subprocess.run(
        [OSIER, *map(str, arguments)],
        env=dict(os.environ, XDG_CACHE_HOME=str(cache)),
        capture_output=True,
        text=True,
        check=False,
    )
    for secret in (KEY, SECRET, ACCOUNT_KEY):
        assert secret not in done.stdout + done.stderr
    return done


def rows(name: str) -> str:
    """The golden rows of ps."""
    return (SNAPSHOTS / name / "ps.jsonl").read_text()


class Store(ThreadingHTTPServer):
    """Hands requests on to the store, and their answers back."""

    daemon_threads = True

    def __init__(self, behind: tuple[str, int]) -> None:
        """A server before that one."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = behind
        self.fault: Fault = lambda _: ""
        self.requests: list[str] = []
        self.sent = 0

    def environment(self) -> dict[str, str]:
        """What the environment says of the store."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> Any:
        """What the store itself answers."""
        asked = http.client.HTTPConnection(*self.behind, timeout=60)
        asked.request(method, path, body=body or None, headers=dict(headers))
        answer = asked.getresponse()
        content = answer.read()
        asked.close()
        return answer, content

    def put(self, key: str, content: bytes) -> None:
        """Puts an object into the bucket."""
        # moto looks at no signature, and takes whoever signs for known.
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request"}
        answer, said = self.ask("PUT", f"/{BUCKET}/{quote(key)}", content, signed)
        assert answer.status == 200, said


class Handler(BaseHTTPRequestHandler):
    """One request of whoever reads."""

    protocol_version = "HTTP/1.1"
    server: Store

    def do_GET(self) -> None:  # noqa: N802
        """The store's answer; or what the fault makes of it."""
        fault = self.server.fault(len(self.server.requests))
        self.server.requests.append(f"{self.path} {self.headers.get('Range', '')}")
        if fault == "silence":
            time.sleep(25)
            self.close_connection = True
            return
        if fault.isdigit():
            self.send_response(int(fault))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        answer, content = self.server.ask("GET", self.path, headers=dict(self.headers.items()))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "date", "server", "transfer-encoding", "content-length"):
                changed = name.lower() == "etag" and fault == "etag"
                self.send_header(name, '"another"' if changed else value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "truncated":
            content = content[: len(content) // 2]
            self.close_connection = True
        self.server.sent += len(content)
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


@contextmanager
def storing(files: Mapping[str, Path | bytes], kind: type[Store] = Store) -> Iterator[Store]:
    """A store of this kind with these objects in its bucket, as long as the block lasts."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    store = kind(moto.get_host_and_port())
    thread = threading.Thread(target=store.serve_forever, daemon=True)
    thread.start()
    try:
        store.put("", b"")
        for key, content in files.items():
            store.put(key, content if isinstance(content, bytes) else content.read_bytes())
        yield store
    finally:
        store.shutdown()
        store.server_close()
        thread.join()
        moto.stop()
