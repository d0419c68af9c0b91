"""A stand-in for the Hugging Face hub on loopback: one repository, from a folder, and a record of what was asked."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What a client of the hub needs to download files at a commit.

    Attributes:
        asked: method and path of every request so far.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def running_fake_hub(repository: str, folder: Path) -> Iterator[FakeHub]:
    """Serve the folder's files as those of `repository`, at `COMMIT`."""
    hub = FakeHub()
    prefix = f"/{repository}/resolve/{COMMIT}/"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            file = folder / path.removeprefix(prefix)
            if not path.startswith(prefix) or not file.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(path.encode()).hexdigest()[:40]}"')
            self.send_header("Content-Length", str(file.stat().st_size))
            self.end_headers()
            if self.command == "GET":
                with file.open("rb") as content:
                    shutil.copyfileobj(content, self.wfile)

        do_GET = do_HEAD = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield hub
        finally:
            server.shutdown()
