"""What a hub answers to those who push: repositories and branches are made, files come by LFS, then a commit.

The endpoints are those of `huggingface_hub.upload_folder` without Xet, and each keeps what it is told: an LFS
file must have been put, with its digest, before a commit may name it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from harness.hub import Hub, Repository, _json, _refuse, _send, hub

REGULAR = (".json", ".md", ".txt", ".jinja", ".gitattributes", ".html")
CUT = 0
"""In place of a status: the connection is cut after the request was done."""
BEFORE = -1
"""The connection is cut, and nothing was done."""


@dataclass
class Commit:
    """What was told of one commit."""

    id: str
    title: str
    message: str
    branch: str


@dataclass
class Uploads:
    """The part of a hub that takes files.

    Attributes:
        server: the hub.
        token: that writing needs.
        commits: all that were made by a push, oldest first.
        failures: what some requests get: a pattern of the path, and statuses in turn; the last one stays
            where ``stays`` is set.
        blobs: contents of LFS files by digest.
        private: visibility of the repositories that were made.
        authorized: the value of each Authorization header that came.
    """

    server: Hub
    token: str = "hf_writer"
    commits: list[Commit] = field(default_factory=list)
    failures: dict[str, list[int]] = field(default_factory=dict)
    stays: bool = False
    blobs: dict[str, bytes] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    authorized: set[str] = field(default_factory=set)

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """What a branch has."""
        repository = self.server.repositories[f"models/{name}"]
        return repository.commits[repository.branches[branch]]

    def answer(self, request: BaseHTTPRequestHandler, path: str, body: bytes) -> bool:
        """Answer what is a push, or the listing of commits that comes before one."""
        fault = self._fault(request, path)
        if fault == BEFORE:
            _cut(request)
            return True
        if fault is not None and fault != CUT:
            _refuse(request, fault, "Fault")
            return True
        if fault == CUT:
            # the request is done, and nobody hears of it
            with _deaf(request):
                self._route(request, path, body)
            _cut(request)
            return True
        return self._route(request, path, body)

    def _fault(self, request: BaseHTTPRequestHandler, path: str) -> int | None:
        for pattern, statuses in self.failures.items():
            if statuses and re.search(pattern, f"{request.command} {path}"):
                return statuses[0] if self.stays and len(statuses) == 1 else statuses.pop(0)
        return None

    def _route(self, request: BaseHTTPRequestHandler, path: str, body: bytes) -> bool:
        if path.startswith("/lfs/"):
            return self._put(request, path.removeprefix("/lfs/"), body)
        if path == "/api/validate-yaml":
            return _said(request, {"errors": [], "warnings": []})
        writes = path == "/api/repos/create" or re.search(r"/(preupload|commit|branch)/|\.git/info/lfs", path)
        found = re.match(r"/api/models/([^/]+/[^/]+)/(preupload|commit|commits|branch)/(.+)", path)
        if not writes and not (found and found[2] == "commits"):
            return False
        token = request.headers.get("Authorization", "")
        self.authorized.add(token)
        if token != f"Bearer {self.token}":
            _refuse(request, 401 if not token else 403, "RepoNotFound")
            return True
        if path == "/api/repos/create":
            return self._create(request, json.loads(body))
        if batch := re.match(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            del batch
            return self._batch(request, json.loads(body))
        assert found is not None
        repository = self.server.repositories.get(f"models/{found[1]}")
        if repository is None:
            _refuse(request, 404, "RepoNotFound")
            return True
        return getattr(self, f"_{found[2]}")(request, repository, found[1], found[3], body)

    def _create(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> bool:
        name = f"{asked['organization']}/{asked['name']}"
        if f"models/{name}" in self.server.repositories:
            url = f"{self.server.endpoint}/{name}"
            _send(
                request,
                409,
                json.dumps({"error": "there is one", "url": url}).encode(),
                "application/json",
                {},
            )
            return True
        self.server.repository(f"models/{name}", {".gitattributes": b"*.safetensors filter=lfs"})
        self.private[name] = asked.get("visibility") == "private" or bool(asked.get("private"))
        return _said(request, {"url": f"{self.server.endpoint}/{name}"})

    def _branch(
        self, request: BaseHTTPRequestHandler, found: Repository, _: str, name: str, __: bytes
    ) -> bool:
        if name in found.branches:
            _refuse(request, 409, "BranchExists")
            return True
        found.branches[name] = found.branches["main"]
        return _said(request, {})

    def _commits(
        self, request: BaseHTTPRequestHandler, found: Repository, _: str, branch: str, __: bytes
    ) -> bool:
        if branch not in found.branches:
            _refuse(request, 404, "RevisionNotFound")
            return True
        listed = [one for one in self.commits if one.branch == branch and one.id in found.commits]
        rows = [
            {
                "id": c.id,
                "title": c.title,
                "message": c.message,
                "date": "2026-01-01T00:00:00.000Z",
                "authors": [],
            }
            for c in reversed(listed)
        ]
        return _said(request, rows)

    def _preupload(
        self, request: BaseHTTPRequestHandler, _: Repository, __: str, ___: str, body: bytes
    ) -> bool:
        files = json.loads(body)["files"]
        told = [
            {
                "path": one["path"],
                "uploadMode": "regular" if one["path"].endswith(REGULAR) else "lfs",
                "shouldIgnore": False,
            }
            for one in files
        ]
        return _said(request, {"files": told})

    def _batch(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> bool:
        objects = []
        for one in asked["objects"]:
            href = f"{self.server.endpoint}/lfs/{one['oid']}?X-Amz-Signature=signed"
            actions = {} if one["oid"] in self.blobs else {"actions": {"upload": {"href": href}}}
            objects.append({"oid": one["oid"], "size": one["size"], **actions})
        return _said(request, {"transfer": "basic", "objects": objects})

    def _put(self, request: BaseHTTPRequestHandler, oid: str, body: bytes) -> bool:
        if hashlib.sha256(body).hexdigest() != oid:
            _refuse(request, 400, "BadDigest")
            return True
        self.blobs[oid] = body
        return _said(request, {})

    def _commit(
        self, request: BaseHTTPRequestHandler, found: Repository, name: str, branch: str, body: bytes
    ) -> bool:
        rows = [json.loads(line) for line in body.splitlines()]
        files = dict(found.commits[found.branches[branch]])
        for row in rows[1:]:
            value = row["value"]
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif row["key"] == "deletedFile":
                del files[value["path"]]
        made = found.push(files, branch)
        head = rows[0]["value"]
        self.commits.append(Commit(made, head["summary"], head["description"], branch))
        return _said(
            request, {"commitUrl": f"{self.server.endpoint}/{name}/commit/{made}", "commitOid": made}
        )


def _said(request: BaseHTTPRequestHandler, value: Any) -> bool:
    _json(request, value)
    return True


def _cut(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def _deaf(request: BaseHTTPRequestHandler) -> Iterator[None]:
    """What is answered meanwhile goes nowhere."""

    class Nowhere:
        def write(self, data: bytes) -> int:
            return len(data)

        def flush(self) -> None:
            pass

    heard, request.wfile = request.wfile, Nowhere()  # type: ignore[assignment]
    try:
        yield
    finally:
        request.wfile = heard


@contextmanager
def writable_hub() -> Iterator[Uploads]:
    """A hub that takes pushes, until the block ends."""
    with hub() as made:
        uploads = Uploads(made)
        made.before = uploads.answer
        yield uploads
