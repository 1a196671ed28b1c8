"""A hub of models and datasets over HTTP, as far as `huggingface_hub` asks it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

Files = dict[str, bytes]


@dataclass
class Repository:
    """One repository: commits, and what its branches name.

    Attributes:
        commits: the files of each.
        branches: the commit of each.
        token: that reading needs; None for a public one.
    """

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def push(self, files: Files, branch: str = "main") -> str:
        """Let a branch name a new commit with these files."""
        text = json.dumps([[name, hashlib.sha1(files[name]).hexdigest()] for name in sorted(files)])
        commit = hashlib.sha1(f"{len(self.commits)} {text}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        return commit


class Hub:
    """The server; repositories by ``datasets/OWNER/NAME`` or ``models/OWNER/NAME``.

    Attributes:
        asked: paths that were requested, with the range where there was one.
        sent: bytes of files that were sent.
        before: asked first, with path and body; whether it has answered.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.sent = 0
        self.before: Callable[[BaseHTTPRequestHandler, str, bytes], bool] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        """For ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def repository(self, name: str, files: Files, token: str | None = None) -> Repository:
        """A new repository with one commit."""
        made = self.repositories[name] = Repository(token=token)
        made.push(files)
        return made

    def start(self) -> None:
        """Answer."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(hub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            @override
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                answer(hub, self)

            do_HEAD = do_POST = do_PUT = do_GET

        return Handler


def answer(hub: Hub, request: BaseHTTPRequestHandler) -> None:
    """One request."""
    url = urlsplit(request.path)
    hub.asked.append(f"{unquote(url.path)} {request.headers.get('Range', '')}".strip())
    body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    if hub.before is not None and hub.before(request, unquote(url.path), body):
        return None
    parts = unquote(url.path).strip("/").split("/")
    api = parts[0] == "api"
    kind, *rest = parts[1:] if api else (parts if parts[0] == "datasets" else ["models", *parts])
    repository = hub.repositories.get(f"{kind}/{'/'.join(rest[:2])}")
    if repository is None:
        return _refuse(request, 401, "RepoNotFound")
    if repository.token and request.headers.get("Authorization") != f"Bearer {repository.token}":
        return _refuse(request, 403 if "Authorization" in request.headers else 401, "GatedRepo")
    what, *after = rest[2:] or ["revision", "main"]
    commit = repository.branches.get(after[0], after[0])
    if commit not in repository.commits:
        return _refuse(request, 404, "RevisionNotFound")
    files, path = repository.commits[commit], "/".join(after[1:])
    if what == "revision":
        named = {"id": "/".join(rest[:2]), "sha": commit, "siblings": [{"rfilename": name} for name in files]}
        return _json(request, {**named, "private": False, "tags": [], "downloads": 0, "likes": 0})
    if what == "tree":
        if path and not any(name.startswith(f"{path}/") for name in files):
            return _refuse(request, 404, "EntryNotFound")
        recursive = parse_qs(url.query).get("recursive", ["false"])[0].lower() == "true"
        return _json(request, _tree(files, path, recursive=recursive))
    if what == "paths-info":
        asked = (
            json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
        )
        found = [_entry(name, files[name]) for name in asked if name in files]
        folders = [name for name in asked if any(one.startswith(f"{name}/") for one in files)]
        return _json(request, found + [{"type": "directory", "path": name, "oid": "0"} for name in folders])
    if path not in files:
        return _refuse(request, 404, "EntryNotFound")
    return _file(hub, request, files[path], commit)


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


def _tree(files: Files, path: str, *, recursive: bool) -> list[dict[str, Any]]:
    start = f"{path}/" if path else ""
    below = [name for name in files if name.startswith(start)]
    folders = {
        "/".join(name.split("/")[: depth + 1])
        for name in below
        for depth in range(start.count("/"), name.count("/"))
    }
    entries = [{"type": "directory", "path": name, "oid": "0", "size": 0} for name in sorted(folders)]
    entries += [_entry(name, files[name]) for name in sorted(below)]
    depth = start.count("/")
    return [entry for entry in entries if recursive or str(entry["path"]).count("/") == depth]


def _file(hub: Hub, request: BaseHTTPRequestHandler, data: bytes, commit: str) -> None:
    asked = request.headers.get("Range", "").removeprefix("bytes=")
    first, _, last = asked.partition("-")
    start, end = (int(first), min(len(data), int(last or len(data)) + 1)) if asked else (0, len(data))
    part = data[start:end]
    headers = {
        "ETag": f'"{hashlib.sha1(data).hexdigest()}"',
        "X-Repo-Commit": commit,
        "Accept-Ranges": "bytes",
    }
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    hub.sent += 0 if request.command == "HEAD" else len(part)
    _send(request, 206 if asked else 200, part, "application/octet-stream", headers)


def _json(request: BaseHTTPRequestHandler, value: Any) -> None:
    _send(request, 200, json.dumps(value).encode(), "application/json", {})


def _refuse(request: BaseHTTPRequestHandler, status: int, code: str) -> None:
    said = json.dumps({"error": code}).encode()
    _send(request, status, said, "application/json", {"X-Error-Code": code, "X-Error-Message": code})


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str, headers: dict[str, str]
) -> None:
    request.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub until the block ends."""
    made = Hub()
    made.start()
    try:
        yield made
    finally:
        made.stop()
