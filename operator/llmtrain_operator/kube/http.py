"""`ClusterApi` over HTTPS: addresses, credentials, retries and limits. The only file that speaks HTTP to
the API server."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson

from .api import PREFIXES, ApiError, Listing, Object, WatchEvent

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_SECONDS = 60.0
"""The kubelet rotates the token file; it is valid for an hour."""
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
WATCH_SECONDS = 300
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=WATCH_SECONDS + 30, connect=5, sock_read=90)
"""Bookmarks come about every minute: silence beyond 90 s is a dead connection."""
RETRIED = frozenset({0, 429, 500, 502, 503, 504})
ATTEMPTS = 5
MAX_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where the API server is and who we are.

    Attributes:
        token_file: re-read each minute; None with a client certificate.
    """

    server: str
    tls: ssl.SSLContext | None
    token_file: Path | None = None
    token: str | None = None


async def find_cluster() -> ClusterAddress:
    """In a pod its ServiceAccount, elsewhere the current context of the kubeconfig.

    Raises:
        ConfigException: from the kubernetes package, when there is neither.
    """
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if host and (SERVICE_ACCOUNT / "token").exists():
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        address = f"[{host}]" if ":" in host else host
        tls = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
        return ClusterAddress(f"https://{address}:{port}", tls, token_file=SERVICE_ACCOUNT / "token")
    return await _from_kubeconfig()


async def _from_kubeconfig() -> ClusterAddress:
    # heavy, and not needed in a pod
    from kubernetes.aio import config
    from kubernetes.aio.client import Configuration

    configuration: Any = Configuration()
    await config.load_kube_config(client_configuration=configuration)
    tls = None
    if configuration.host.startswith("https"):
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    token = await configuration.get_api_key_with_prefix("BearerToken")
    return ClusterAddress(configuration.host, tls, token=token.removeprefix("Bearer ") if token else None)


@dataclass
class Credentials:
    """The bearer token, re-read as the kubelet rotates it."""

    address: ClusterAddress
    _token: str | None = field(default=None, init=False)
    _read_at: float = field(default=float("-inf"), init=False)

    def headers(self) -> dict[str, str]:
        """``Authorization``, or nothing with a client certificate."""
        path = self.address.token_file
        if path is not None and time.monotonic() - self._read_at > TOKEN_REREAD_SECONDS:
            self._token = path.read_text().strip()
            self._read_at = time.monotonic()
        token = self._token or self.address.token
        return {"Authorization": f"Bearer {token}"} if token else {}


class RawItems(msgspec.Struct):
    """A list whose items stay undecoded."""

    class Meta(msgspec.Struct, rename="camel"):
        """``metadata`` of a list."""

        resource_version: str = ""
        continue_: str = msgspec.field(default="", name="continue")

    metadata: Meta
    items: list[msgspec.Raw]


class RawEvent(msgspec.Struct):
    """A watch line whose object stays undecoded."""

    type: str
    object: msgspec.Raw


class HttpApi:
    """The real API server."""

    def __init__(self, address: ClusterAddress) -> None:
        self._address = address
        self._credentials = Credentials(address)
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def __aenter__(self) -> HttpApi:
        self._session = self.new_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def server(self) -> str:
        """Base address."""
        return self._address.server

    def new_session(self) -> aiohttp.ClientSession:
        """A session with our credentials on each request; the caller closes it."""
        credentials = self._credentials

        async def authorize(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            request.headers.update(credentials.headers())
            return await handler(request)

        connector = aiohttp.TCPConnector(ssl=self._address.tls or False, limit=MAX_IN_FLIGHT * 2)
        return aiohttp.ClientSession(
            connector=connector, middlewares=(authorize,), headers={"User-Agent": "llm-training-operator"}
        )

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Read one object."""
        return await self._json("GET", self._path(resource, namespace, name))

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create one object. A retry after a lost answer ends as AlreadyExists, which the caller judges."""
        return await self._json("POST", self._path(resource, namespace), body=body)

    async def delete(self, resource: str, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        """Delete one object, and only the one with that UID."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": grace_seconds,
            "preconditions": {"uid": uid},
        }
        await self._request("DELETE", self._path(resource, namespace, name), body=options)

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        """JSON merge patch of ``/status``."""
        path = self._path(resource, namespace, name) + "/status"
        return await self._json("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def create_review(self, path: str, body: Object) -> Object:
        """POST of a virtual resource, such as a TokenReview."""
        return await self._json("POST", path, body=body)

    async def served(self, group_version: str, plural: str) -> bool:
        """Whether discovery lists that resource."""
        try:
            found = await self._json("GET", f"/apis/{group_version}")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(r.get("name") == plural for r in found.get("resources", []))

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        """All objects that match, page by page."""
        items: list[bytes] = []
        params = {"labelSelector": selector, "limit": "500"}
        while True:
            raw = await self._request("GET", self._path(resource, namespace), params=params)
            page = msgspec.json.decode(raw, type=RawItems)
            items.extend(bytes(item) for item in page.items)
            if not page.metadata.continue_:
                return Listing(items, page.metadata.resource_version)
            params["continue"] = page.metadata.continue_

    async def watch(
        self, resource: str, namespace: str, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes since a version."""
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "resourceVersion": resource_version,
            "timeoutSeconds": str(random.randint(WATCH_SECONDS // 2, WATCH_SECONDS)),
        }
        assert self._session is not None, "use HttpApi as a context manager"
        url = self._address.server + self._path(resource, namespace)
        try:
            async with self._session.get(url, params=params, timeout=WATCH_TIMEOUT) as response:
                if response.status >= 400:
                    raise as_error(response, await response.read())
                buffer = b""
                async for chunk in response.content.iter_any():
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        event = msgspec.json.decode(line, type=RawEvent)
                        yield WatchEvent(event.type, bytes(event.object))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, "ConnectionLost", str(error) or type(error).__name__) from error

    @staticmethod
    def _path(resource: str, namespace: str, name: str = "") -> str:
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{PREFIXES[resource]}{scope}/{resource}" + (f"/{name}" if name else "")

    async def _json(self, method: str, path: str, **options: Any) -> Object:
        found: Object = orjson.loads(await self._request(method, path, **options))
        return found

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """One call, retried while the server is busy or away. Every call of ours may be repeated."""
        delay = 0.2
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._slots:
                    return await self._once(method, path, body, params, content_type)
            except ApiError as error:
                if error.status not in RETRIED or attempt == ATTEMPTS:
                    raise
                wait = error.retry_after if error.retry_after is not None else delay
                await asyncio.sleep(wait * random.uniform(0.8, 1.2))
                delay = min(delay * 2, 5.0)
        raise AssertionError("unreachable")

    async def _once(
        self, method: str, path: str, body: Object | None, params: dict[str, str] | None, content_type: str
    ) -> bytes:
        assert self._session is not None, "use HttpApi as a context manager"
        try:
            async with self._session.request(
                method,
                self._address.server + path,
                data=None if body is None else orjson.dumps(body),
                params=params,
                headers={"Content-Type": content_type} if body is not None else None,
                timeout=REQUEST_TIMEOUT,
            ) as response:
                content = await response.read()
                if response.status >= 400:
                    raise as_error(response, content)
                return content
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, "ConnectionLost", str(error) or type(error).__name__) from error


def as_error(response: aiohttp.ClientResponse, content: bytes) -> ApiError:
    """The server's ``Status`` object, or whatever else it sent."""
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError:
        said = {}
    said = said if isinstance(said, dict) else {}
    retry = response.headers.get("Retry-After", "")
    return ApiError(
        response.status,
        str(said.get("reason", response.reason or "")),
        str(said.get("message", content[:500].decode(errors="replace"))),
        float(retry) if retry.isdigit() else None,
    )
