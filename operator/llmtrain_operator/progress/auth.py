"""From a bearer token to the pod that holds it."""

from __future__ import annotations

import base64
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from llmtrain_api.names import TOKEN_AUDIENCE

from ..kube.api import RESOURCES

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
REVIEW_PATH = RESOURCES["tokenreviews"].path()
ACCOUNT_PREFIX = "system:serviceaccount:"
CACHE_SECONDS = 120.0
CACHE_SIZE = 20_000
MISSES_SIZE = 1_000
"""Tokens that were refused: they must not push out those that were not."""
REVIEWS_PER_SECOND, REVIEWS_AT_ONCE = 2.0, 20
"""TokenReviews that one address may cause; a worker needs one every two minutes."""
MAX_WAITING = 200
PEERS = 10_000


class PodIdentity(NamedTuple):
    """Which pod holds a token."""

    namespace: str
    name: str
    uid: str


class Busy(Exception):
    """More tokens are to be checked than there is room for: to be tried again later."""


class Reviewer(Protocol):
    """The one call that this file needs of the API."""

    async def create_review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST a review and return it with its status."""
        ...


class Authenticator(Protocol):
    """Knows whose token it is."""

    async def identify(self, token: str, peer: str) -> PodIdentity | None:
        """The pod that the token was given to; None for a token that is not valid.

        Raises:
            ApiError: it cannot be told now.
            Busy: that address asks too much, or all do.
        """
        ...


class TokenAuthenticator:
    """Asks the API server who a token belongs to; remembers the answer for two minutes.

    What a token claims to be is looked at first, unverified: only a token that names a worker pod costs a
    TokenReview. Tokens are kept as digests only.

    Args:
        knows: whether there is a worker pod of that UID.
    """

    def __init__(
        self, api: Reviewer, knows: Callable[[str], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._knows = knows
        self._clock = clock
        self._cache: Bounded[bytes, tuple[float, PodIdentity]] = Bounded(CACHE_SIZE)
        self._misses: Bounded[bytes, float] = Bounded(MISSES_SIZE)
        self._allowance = Allowance(REVIEWS_PER_SECOND, REVIEWS_AT_ONCE, clock)
        self._waiting = 0

    async def identify(self, token: str, peer: str) -> PodIdentity | None:
        """The pod the token is bound to; None for a token that is not valid for us.

        Raises:
            ApiError: the API server could not be asked.
            Busy: too many tokens are being asked about.
        """
        digest, now = sha256(token.encode(errors="surrogateescape")).digest(), self._clock()
        cached = self._cache.get(digest)
        if cached is not None and cached[0] > now:
            return cached[1]
        claimed = claimed_pod(token)
        if claimed is None or not self._knows(claimed) or (self._misses.get(digest) or 0.0) > now:
            return None
        if self._waiting >= MAX_WAITING or not self._allowance.take(peer):
            raise Busy("too many tokens are being checked")
        found = await self._review(token)
        if found is None:
            self._misses.put(digest, self._clock() + CACHE_SECONDS)
        else:
            self._cache.put(digest, (self._clock() + CACHE_SECONDS, found))
        return found

    async def _review(self, token: str) -> PodIdentity | None:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
        }
        self._waiting += 1
        try:
            status = (await self._api.create_review(REVIEW_PATH, body)).get("status", {})
        finally:
            self._waiting -= 1
        # a server that knows no audiences authenticates any token: its answer names none
        if not status.get("authenticated") or TOKEN_AUDIENCE not in status.get("audiences", []):
            return None
        user = status.get("user", {})
        account, extra = user.get("username", ""), user.get("extra", {})
        uids, names = extra.get(POD_UID, []), extra.get(POD_NAME, [])
        if not uids or not names or not account.startswith(ACCOUNT_PREFIX):
            return None
        namespace = account.removeprefix(ACCOUNT_PREFIX).partition(":")[0]
        return PodIdentity(namespace, names[0], uids[0])


class _Pod(msgspec.Struct, frozen=True):
    uid: str = ""


class _Bound(msgspec.Struct, frozen=True):
    pod: _Pod = _Pod()


class _Claims(msgspec.Struct):
    aud: list[str] | str = []
    kubernetes: _Bound = msgspec.field(default=_Bound(), name="kubernetes.io")


def claimed_pod(token: str) -> str | None:
    """UID of the pod that a JWT says it is bound to, for our audience. Nothing of it is verified."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(payload, type=_Claims)
    except (ValueError, RecursionError):
        return None
    if TOKEN_AUDIENCE not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        return None
    return claims.kubernetes.pod.uid or None


class Allowance:
    """A token bucket for each address."""

    def __init__(self, per_second: float, at_once: int, clock: Callable[[], float]) -> None:
        self._per_second, self._at_once = per_second, float(at_once)
        self._clock = clock
        self._left: Bounded[str, tuple[float, float]] = Bounded(PEERS)

    def take(self, peer: str) -> bool:
        """One more, if that address has any left."""
        now = self._clock()
        left, since = self._left.get(peer) or (self._at_once, now)
        left = min(left + (now - since) * self._per_second, self._at_once)
        self._left.put(peer, (left - 1.0 if left >= 1.0 else left, now))
        return left >= 1.0


K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """A mapping that forgets what was put in first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What was put in under that key, if it is still known."""
        return self._items.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember it; the oldest goes where there is no room."""
        self._items[key] = value
        self._items.move_to_end(key)
        while len(self._items) > self._size:
            self._items.popitem(last=False)
