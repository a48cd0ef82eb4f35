"""A real git server on loopback: git's own http-backend behind a small web server.

It may ask for a token, and tells what it was asked. For tests of repositories that are URLs.
"""

from __future__ import annotations

import base64
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

__all__ = ["GitServer", "has_http_backend"]


def _backend() -> Path:
    folder = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
    return Path(folder.stdout.strip()) / "git-http-backend"


def has_http_backend() -> bool:
    """Whether this machine's git came with its server."""
    return _backend().exists()


class GitServer:
    """Serves the bare repositories below `root`. `token` is the password that it wants, if any;
    `status` is answered instead of all else while it is set, `refuses_pushes` lets it take none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.token: str | None = None
        self.status: int | None = None
        self.refuses_pushes = False
        self.fetches = 0
        self.pushes = 0
        self.passwords: set[str] = set()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = Thread(target=self._web.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def url(self, name: str) -> str:
        """The address of a repository."""
        return f"http://127.0.0.1:{self._web.server_port}/{name}"

    def close(self) -> None:
        """Answers nobody any more."""
        self._web.shutdown()
        self._web.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: GitServer
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._serve(body)

    def _serve(self, body: bytes) -> None:
        name = self.headers.get("Authorization", "").removeprefix("Basic ")
        password = base64.b64decode(name).decode().partition(":")[2]
        self.owner.passwords.add(password)
        if self.owner.status is not None:
            self._refuse(self.owner.status)
        elif self.owner.token is not None and password != self.owner.token:
            self._refuse(401)
        elif self.owner.refuses_pushes and "receive-pack" in self.path:
            self._refuse(403)
        else:
            self._answer(body)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        if parts.path.endswith("/git-upload-pack") and b"command=fetch" in body:
            self.owner.fetches += 1
        if parts.path.endswith("/git-receive-pack"):
            self.owner.pushes += 1
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.owner.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "http.receivepack",
            "GIT_CONFIG_VALUE_1": "true",
            "GIT_PROJECT_ROOT": str(self.owner.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "ada",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run([str(_backend())], input=body, env=env, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().splitlines()]
        told = {name.lower(): value for name, _, value in lines}
        self.send_response(int(told.pop("status", "200 OK").split()[0]))
        for header, value in told.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
