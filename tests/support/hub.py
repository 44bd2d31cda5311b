"""A hub on this computer: speaks as much of the real one's HTTP as a download needs.

`Hub(folders)` serves folders as repositories under 127.0.0.1. What goes wrong on real hubs can be
switched on: `gated`, `corrupt` (a file's bytes are others than promised), `cut` (the connection
ends after so many bytes of a file, once), `refused` (status and error code of a file), `moved` (the
address that files are sent on to), `says` (what the listing holds besides, or alone where it is
bytes).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".pt")


class Hub:
    """Serve {repository id: folder}; use as a context manager."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.gated: set[str] = set()
        self.corrupt: set[str] = set()
        self.cut: dict[str, int] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.moved = ""
        self.says: dict | bytes = {}
        self.asked: list[tuple[str, str, str]] = []  # method, path, range
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                hub.answer(self)

            def do_GET(self):
                hub.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment of a process that knows no other hub and writes into home."""
        return os.environ | {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "WORKBENCH_CATALOGUE": str(home / "catalogue"),
            "WORKBENCH_STORE": str(home / "store"),
        }

    def commit(self, repository: str) -> str:
        return hashlib.sha1(repository.encode()).hexdigest()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        self.asked.append((request.command, path, request.headers.get("Range", "")))
        if path.startswith("plain/"):
            return self._file(request, "", Path(self.folders["plain"]) / path[6:])
        if path.startswith("api/models/"):
            return self._card(request, *path.removeprefix("api/models/").split("/revision/"))
        repository, _, name = path.partition("/resolve/")
        if repository not in self.folders:
            return self._refuse(request, 404, "RepoNotFound")
        if repository in self.gated:
            return self._refuse(request, 403, "GatedRepo")
        if self.moved:
            there = {"Location": self.moved + request.path, "Content-Length": "0"}
            return self._send(request, 302, b"", there)
        return self._file(request, repository, self.folders[repository] / name.partition("/")[2])

    def _card(self, request, repository, revision="main"):
        if repository not in self.folders:
            return self._refuse(request, 404, "RepoNotFound")
        if revision not in ("main", self.commit(repository)):
            return self._refuse(request, 404, "RevisionNotFound")
        files = []
        for path in sorted(p for p in self.folders[repository].rglob("*") if p.is_file()):
            name = path.relative_to(self.folders[repository]).as_posix()
            size, etag = path.stat().st_size, self._etag(path)
            file = {"rfilename": name, "size": size, "blobId": etag[:40]}
            if path.suffix in LARGE:
                file["lfs"] = {"sha256": etag, "size": size, "pointerSize": 130}
            files.append(file)
        card = {
            "id": repository,
            "modelId": repository,
            "sha": self.commit(repository),
            "siblings": files,
            "gated": "manual" if repository in self.gated else False,
            "private": False,
            "tags": [],
            "cardData": {"license": "mit"},
        }
        said = self.says if isinstance(self.says, bytes) else json.dumps(card | self.says).encode()
        return self._send(request, 200, said, {})

    def _file(self, request, repository, path):
        if path.name in self.refused:
            return self._refuse(request, *self.refused[path.name])
        if not path.is_file():
            return self._refuse(request, 404, "EntryNotFound")
        data = path.read_bytes()
        etag = self._etag(path)
        if path.name in self.corrupt:
            data = bytes(len(data))
        headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if repository:
            headers["X-Repo-Commit"] = self.commit(repository)
        begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        status = 206 if "Range" in request.headers else 200
        if status == 206:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        return self._send(request, status, data[begin:], headers, self.cut.pop(path.name, None))

    def _send(self, request, status, data, headers, cut=None):
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "GET":
            with suppress(ConnectionError):
                request.wfile.write(data if cut is None else data[:cut])
            if cut is not None:
                request.close_connection = True

    def _refuse(self, request, status, code):
        headers = {"X-Error-Code": code, "X-Error-Message": code}
        self._send(request, status, json.dumps({"error": code}).encode(), headers)

    @staticmethod
    def _etag(path: Path) -> str:
        data = path.read_bytes()
        if path.suffix in LARGE:
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
