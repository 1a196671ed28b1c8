"""From a bearer token to the pod that holds it."""

from __future__ import annotations

import time
from collections import OrderedDict
from hashlib import sha256
from typing import Any, Protocol

from llmtrain_api.names import TOKEN_AUDIENCE

POD_UID = "authentication.kubernetes.io/pod-uid"
CACHE_SECONDS = 120.0
CACHE_SIZE = 20_000
REVIEW_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


class Reviewer(Protocol):
    """The one call that this file needs of the API."""

    async def create_review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST a review and return it with its status."""
        ...


class Authenticator(Protocol):
    """Knows whose token it is."""

    async def pod_uid(self, token: str) -> str | None:
        """UID of the pod that the token was given to; None for a token that is not valid.

        Raises:
            ApiError: it cannot be told now.
        """
        ...


class TokenAuthenticator:
    """Asks the API server who a token belongs to; remembers the answer for two minutes.

    Tokens are kept as digests only.
    """

    def __init__(self, api: Reviewer) -> None:
        self._api = api
        self._cache: OrderedDict[bytes, tuple[float, str | None]] = OrderedDict()

    async def pod_uid(self, token: str) -> str | None:
        """UID of the pod the token is bound to; None for a token that is not valid for us.

        Raises:
            ApiError: the API server could not be asked.
        """
        digest = sha256(token.encode()).digest()
        cached = self._cache.get(digest)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        uid = await self._review(token)
        self._cache[digest] = (time.monotonic() + CACHE_SECONDS, uid)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return uid

    async def _review(self, token: str) -> str | None:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
        }
        status = (await self._api.create_review(REVIEW_PATH, body)).get("status", {})
        # a server that knows no audiences authenticates any token: its answer names none
        if not status.get("authenticated") or TOKEN_AUDIENCE not in status.get("audiences", []):
            return None
        uids = status.get("user", {}).get("extra", {}).get(POD_UID, [])
        return uids[0] if uids else None
