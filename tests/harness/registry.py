"""A registry of images that takes pushes: what a push uses of the OCI distribution specification.

It is as strict as a real one: a blob must be what its digest says, a manifest may name only what is there,
and who asks must be known. It can refuse, cut a connection, be silent, and let a token run out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

CUT = 0
"""In place of a status: the connection is cut after the request was done."""
BEFORE = -1
"""The connection is cut, and nothing was done."""
MIDDLE = -2
"""The connection is cut when half of the body is read."""
SILENT = -3
"""Nothing is ever answered."""
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PIECE = 1 << 16


@dataclass
class Registry:
    """The server.

    Attributes:
        folder: where blobs lie, by the hexadecimal digits of their digest.
        user: who may push.
        password: of the user; empty where anybody may.
        by_token: whether who asks is told to get a token; by the password itself else.
        manifests: by repository and tag, and by repository and digest.
        failures: what some requests get: a pattern of the method and path, and statuses in turn; the last one
            stays where ``stays`` is set.
        asked: methods and paths, as they came.
        uploads: how often each digest was sent.
        tokens: that were given, and are good; a test takes some away.
        over: set once silent answers may end.
        elsewhere: where uploads are sent to, in place of this server.
        authorized: Authorization headers by path.
    """

    folder: Path
    user: str = "writer"
    password: str = "s3cret-pass"
    by_token: bool = True
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    failures: dict[str, list[int]] = field(default_factory=dict)
    stays: bool = False
    asked: list[str] = field(default_factory=list)
    uploads: Counter[str] = field(default_factory=Counter)
    tokens: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    elsewhere: str = ""
    authorized: list[tuple[str, str]] = field(default_factory=list)
    host: str = ""
    open_uploads: set[str] = field(default_factory=set)

    def manifest(self, repository: str, tag: str) -> dict[str, Any]:
        """What a tag names."""
        found: dict[str, Any] = json.loads(self.manifests[repository, tag])
        return found

    def blob(self, digest: str) -> bytes:
        """What a digest names."""
        return (self.folder / digest.removeprefix("sha256:")).read_bytes()

    def fault(self, line: str) -> int | None:
        """What a request gets in place of an answer."""
        for pattern, statuses in self.failures.items():
            if statuses and re.search(pattern, line):
                return statuses[0] if self.stays and len(statuses) == 1 else statuses.pop(0)
        return None

    def allows(self, header: str) -> bool:
        """Whether who sends this may push."""
        kind, _, text = header.partition(" ")
        if not self.password:
            return True
        return text in self.tokens if self.by_token else kind == "Basic" and self.knows(text)

    def knows(self, text: str) -> bool:
        """Whether it is the user's password, as HTTP writes it."""
        return base64.b64decode(text).decode() == f"{self.user}:{self.password}"


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            line = f"{self.command} {self.path}"
            registry.asked.append(line)
            registry.authorized.append((line, self.headers.get("Authorization", "")))
            fault = registry.fault(line)
            if fault is None:
                return _answer(registry, self)
            _fail(registry, self, fault)

        do_HEAD = do_POST = do_PUT = do_GET

    return Handler


def _fail(registry: Registry, request: BaseHTTPRequestHandler, fault: int) -> None:
    if fault == SILENT:
        registry.over.wait(30)
    elif fault == MIDDLE:
        request.rfile.read(int(request.headers.get("Content-Length") or 0) // 2)
    elif fault == CUT:
        request.wfile = _Nowhere()  # type: ignore[assignment]
        _answer(registry, request)
    elif fault > 0:
        _skip(request)
        return _refuse(request, fault, "FAULT")
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


class _Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        pass


def _answer(registry: Registry, request: BaseHTTPRequestHandler) -> None:
    url = urlsplit(request.path)
    if url.path == "/token":
        return _token(registry, request)
    if not registry.allows(request.headers.get("Authorization", "")):
        _skip(request)
        scope = "repository:team/model:pull,push"
        bearer = f'Bearer realm="http://{registry.host}/token",service="tests",scope="{scope}"'
        return _refuse(
            request, 401, "UNAUTHORIZED", {"WWW-Authenticate": bearer if registry.by_token else "Basic"}
        )
    found = re.fullmatch(r"/v2/(.+?)/(blobs|manifests)/(.+)", url.path)
    if found is None:
        return _refuse(request, 404, "UNSUPPORTED")
    repository, kind, name = found.groups()
    if kind == "manifests":
        return _manifest(registry, request, repository, name)
    if request.command == "POST":
        return _begin(registry, request, repository)
    if request.command == "PUT":
        return _put(registry, request, name, parse_qs(url.query))
    path = registry.folder / name.removeprefix("sha256:")
    if not path.exists():
        return _refuse(request, 404, "BLOB_UNKNOWN")
    _send(request, 200, b"", {"Content-Length": str(path.stat().st_size)})


def _token(registry: Registry, request: BaseHTTPRequestHandler) -> None:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind != "Basic" or not registry.knows(text):
        return _refuse(request, 401, "UNAUTHORIZED")
    token = f"token-{len(registry.tokens)}-of-{id(registry)}"
    registry.tokens.append(token)
    _send(request, 200, json.dumps({"token": token, "expires_in": 60}).encode())


def _begin(registry: Registry, request: BaseHTTPRequestHandler, repository: str) -> None:
    _skip(request)
    name = f"{len(registry.asked)}"
    registry.open_uploads.add(name)
    path = f"/v2/{repository}/blobs/uploads/{name}?_state=signed-state"
    _send(request, 202, b"", {"Location": f"{registry.elsewhere}{path}"})


def _put(registry: Registry, request: BaseHTTPRequestHandler, name: str, query: dict[str, list[str]]) -> None:
    upload = name.removeprefix("uploads/")
    if upload not in registry.open_uploads or query.get("_state") != ["signed-state"]:
        _skip(request)
        return _refuse(request, 404, "BLOB_UPLOAD_UNKNOWN")
    [digest] = query["digest"]
    found, left = hashlib.sha256(), int(request.headers["Content-Length"])
    with tempfile.NamedTemporaryFile(dir=registry.folder, delete=False) as file:
        while left:
            piece = request.rfile.read(min(left, PIECE))
            if not piece:
                return
            found.update(piece)
            file.write(piece)
            left -= len(piece)
    registry.open_uploads.discard(upload)
    if f"sha256:{found.hexdigest()}" != digest:
        return _refuse(request, 400, "DIGEST_INVALID")
    Path(file.name).rename(registry.folder / found.hexdigest())
    registry.uploads[digest] += 1
    _send(request, 201, b"", {"Docker-Content-Digest": digest})


def _manifest(registry: Registry, request: BaseHTTPRequestHandler, repository: str, tag: str) -> None:
    body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    if request.command != "PUT":
        found = registry.manifests.get((repository, tag))
        if found is None:
            return _refuse(request, 404, "MANIFEST_UNKNOWN")
        return _send(request, 200, found, {"Content-Type": MANIFEST})
    told = json.loads(body)
    if request.headers.get("Content-Type") != MANIFEST or told["mediaType"] != MANIFEST:
        return _refuse(request, 400, "MANIFEST_INVALID")
    for one in (told["config"], *told["layers"]):
        path = registry.folder / one["digest"].removeprefix("sha256:")
        if not path.exists() or path.stat().st_size != one["size"]:
            return _refuse(request, 400, "MANIFEST_BLOB_UNKNOWN")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    registry.manifests[repository, tag] = registry.manifests[repository, digest] = body
    _send(request, 201, b"", {"Docker-Content-Digest": digest})


def _skip(request: BaseHTTPRequestHandler) -> None:
    left = int(request.headers.get("Content-Length") or 0)
    while left and (piece := request.rfile.read(min(left, PIECE))):
        left -= len(piece)


def _refuse(
    request: BaseHTTPRequestHandler, status: int, code: str, headers: dict[str, str] | None = None
) -> None:
    told = {"errors": [{"code": code, "message": f"because of {code}"}]}
    _send(request, status, json.dumps(told).encode(), headers)


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    request.send_response(status)
    told = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    for name, value in told.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """A registry that keeps its blobs in a folder, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Registry(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    server.daemon_threads = True
    made.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
