"""The part of the OCI distribution specification that pushes: blobs, then the manifest that names them.

There is a library for it, oras, which reads a whole blob into memory to send it in one request and waits for
an answer for ever. A request here is silent for `SILENT_SECONDS` at most, and a blob is never kept.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from types import TracebackType
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx2

from .. import tries
from ..masking import masked
from .access import Access
from .credentials import Credentials
from .image import MANIFEST, Blob, Document
from .reference import Reference, is_loopback

MOST_ANSWER = 4 << 20
"""Bytes of an answer that are read: the largest manifest that registries keep."""
MOVED = frozenset({301, 302, 303, 307, 308})
"""Of a blob: it is there, at another address."""


class Answered(Exception):
    """The registry has answered something else than yes.

    Args:
        status: of the answer.
        to: what it was asked, in words.
        body: of the answer.
    """

    def __init__(self, status: int, to: str, body: bytes) -> None:
        self.status, self.to, self.said = status, to, _errors(body)
        super().__init__(f"{status} to {to}")


class Forgotten(Exception):
    """The registry knows no more of an upload that it has begun: it was started again meanwhile."""


class Registry:
    """A repository of a registry, and who pushes to it.

    Args:
        reference: the repository.
        credentials: of who pushes; None where nobody says.
    """

    def __init__(self, reference: Reference, credentials: Credentials | None) -> None:
        self._root = f"{reference.server}/v2/{reference.repository}"
        self._client = httpx2.Client(timeout=tries.SILENT_SECONDS, verify=_tls())
        self._access = Access(self._client, reference, credentials)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def manifest(self, tag: str) -> bytes | None:
        """The manifest that a tag names; None where there is none.

        Raises:
            Answered: it may not be read.
        """
        status, _, body = self._ask("GET", f"{self._root}/manifests/{tag}", headers={"Accept": MANIFEST})
        if status == HTTPStatus.NOT_FOUND:
            return None
        return _expected(body, status, "a look at the tag", HTTPStatus.OK)

    def put_blob(self, blob: Blob) -> bool:
        """Send a blob, unless the registry has it; whether it was sent.

        Raises:
            Answered: it was not taken.
            Forgotten: the registry knows no more of the upload.
        """
        status, _, body = self._ask("HEAD", f"{self._root}/blobs/{blob.digest}")
        if status == HTTPStatus.OK or status in MOVED:
            return False
        if status != HTTPStatus.NOT_FOUND:
            raise Answered(status, "a look for a layer", body)
        begun, headers, body = self._ask("POST", f"{self._root}/blobs/uploads/")
        _expected(body, begun, "the start of an upload", HTTPStatus.ACCEPTED)
        target = self._upload_url(headers.get("Location", ""), blob.digest)
        status, _, body = self._ask("PUT", target, content=blob)
        if status == HTTPStatus.NOT_FOUND:
            raise Forgotten("the registry knows no more of the upload")
        _expected(body, status, f"a layer of {blob.size:,} bytes", HTTPStatus.CREATED)
        return True

    def put_manifest(self, tag: str, manifest: Document) -> None:
        """Let a tag name an image.

        Raises:
            Answered: it was not taken.
        """
        url = f"{self._root}/manifests/{tag}"
        status, _, body = self._ask("PUT", url, content=manifest, headers={"Content-Type": MANIFEST})
        _expected(body, status, "the manifest", HTTPStatus.CREATED)

    def _upload_url(self, location: str, digest: str) -> str:
        """Where the registry wants an upload. One behind a proxy may not know that it is spoken to by TLS."""
        parts = urlsplit(urljoin(f"{self._root}/blobs/uploads/", location))
        if parts.scheme == "http" and not is_loopback(parts.netloc):
            parts = parts._replace(scheme="https")
        query = f"{parts.query}&digest={digest}" if parts.query else f"digest={digest}"
        return urlunsplit(parts._replace(query=query))

    def _ask(
        self, method: str, url: str, content: Blob | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, httpx2.Headers, bytes]:
        """One request, and a second one with what a first refusal asks for."""
        answer = self._once(method, url, content, headers or {})
        if answer[0] == HTTPStatus.UNAUTHORIZED and self._access.renew(answer[1]):
            answer = self._once(method, url, content, headers or {})
        return answer

    def _once(
        self, method: str, url: str, content: Blob | None, headers: dict[str, str]
    ) -> tuple[int, httpx2.Headers, bytes]:
        kind = {"Content-Type": "application/octet-stream"} if content is not None else {}
        length = {"Content-Length": str(content.size if content is not None else 0)}
        said = {
            **kind,
            **(length if method in ("POST", "PUT") else {}),
            **headers,
            **self._access.header(url),
        }
        body = content.chunks() if content is not None else None
        with self._client.stream(method, url, content=body, headers=said) as response:
            return response.status_code, response.headers, _read(response)


@cache
def _tls() -> ssl.SSLContext:
    """Whom to believe; reading all certificates takes a part of a second."""
    return httpx2.create_ssl_context()


def _read(response: httpx2.Response) -> bytes:
    """An answer, as far as one is read."""
    found = b""
    for chunk in response.iter_bytes(1 << 16):
        found += chunk
        if len(found) > MOST_ANSWER:
            return found[:MOST_ANSWER]
    return found


def _expected(body: bytes, status: int, to: str, right: int) -> bytes:
    if status != right:
        raise Answered(status, to, body)
    return body


def _errors(body: bytes) -> str:
    """What a registry's answer says is wrong, in its own words."""
    try:
        found = json.loads(body)["errors"]
        return masked("; ".join(_error(one) for one in found))[:200]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _error(one: dict[str, object]) -> str:
    return ": ".join(str(part) for part in (one.get("code"), one.get("message")) if part)


def names_of(manifest: bytes) -> Iterator[tuple[str, str]]:
    """The annotations of a manifest; none of what is no manifest of ours."""
    try:
        found = json.loads(manifest).get("annotations") or {}
        yield from ((str(name), str(value)) for name, value in found.items())
    except (ValueError, AttributeError):
        return
