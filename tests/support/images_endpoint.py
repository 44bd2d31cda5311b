"""A server on this machine that speaks the images endpoint, and does what a test tells it to."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

KEY = "sk-secret-0123456789abcdef"


def refusal(status: int, message: str, code: str = "", param: str | None = None, **headers: str):
    """Write an answer that is no picture, as the endpoint words it."""
    error = {"message": message, "type": "error", "code": code or None, "param": param}
    return status, headers, json.dumps({"error": error}).encode()


class Endpoint(ThreadingHTTPServer):
    """Return what `script` holds next, else a picture that nobody has seen before.

    What a function of `script` returns is sent; where it returns None, the server hangs up.
    `calls` are the bodies of the requests for pictures, `fetches` the headers of those for files.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._numbers = itertools.count(1)
        self.script: list = []
        self.calls: list[dict] = []
        self.fetches: list[dict] = []
        self.by_url = ""
        self.files: dict[str, bytes] = {}
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def picture(self, size: str) -> bytes:
        """Paint a plain picture, of another colour each time."""
        number = next(self._numbers)
        file = io.BytesIO()
        width, height = map(int, size.split("x"))
        Image.new("RGB", (width, height), (number % 256, number // 256, 7)).save(file, "PNG")
        return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        server.calls.append(body)
        if self.headers["authorization"] != f"Bearer {KEY}":
            self._send(*refusal(401, f"Incorrect key: {self.headers['authorization']}"))
        elif self.path != "/v1/images/generations":
            self._send(*refusal(404, "there is no such path"))
        elif server.script:
            answer = server.script.pop(0)
            answer = answer(body) if callable(answer) else answer
            if answer is None:
                self.close_connection = True
            else:
                self._send(*answer)
        else:
            data = server.picture(body["size"])
            if server.by_url:
                server.files["/picture.png"] = data
                found = {"url": server.by_url}
            else:
                found = {"b64_json": base64.b64encode(data).decode()}
            self._send(200, {}, json.dumps({"created": 1, "data": [found]}).encode())

    def do_GET(self) -> None:
        self.server.fetches.append(dict(self.headers))
        if self.path == "/away":
            self._send(302, {"location": "/picture.png"}, b"")
        else:
            self._send(200, {"content-type": "image/png"}, self.server.files[self.path])

    def _send(self, status: int, headers: dict, body: bytes | Iterator[bytes]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        if isinstance(body, bytes):
            self.send_header("content-length", str(len(body)))
            body = iter([body])
        with contextlib.suppress(ConnectionError):  # who asked may have enough
            self.end_headers()
            for part in body:
                self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
