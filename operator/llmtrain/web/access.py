"""Who asks, and what they may: a bearer token and the API server's answers about it."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from llmtrain_api.names import GROUP, PLURAL
from llmtrain_operator.progress.auth import Allowance, Bounded, Busy, Reviewer

TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")
"""What RFC 6750 allows: nothing of it can end a header."""
USER_SECONDS, REFUSED_SECONDS, VERDICT_SECONDS = 60.0, 10.0, 30.0
"""How long an answer is good for: rights that are taken away are gone after that time."""
USERS, REFUSED, VERDICTS = 5_000, 5_000, 50_000
REVIEWS_PER_SECOND, REVIEWS_AT_ONCE = 20.0, 100
"""Unknown tokens that one address may ask about; behind a proxy all users are one address."""
MAX_WAITING = 200
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass(frozen=True)
class User:
    """Who holds a token.

    Attributes:
        name: as the API server calls them.
        token: what they showed.
        identity: ``user``, ``groups``, ``uid`` and ``extra`` of a SubjectAccessReview.
    """

    name: str
    token: str = field(repr=False)
    identity: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)


class Access(Protocol):
    """Decides about tokens.

    Attributes:
        shared: whether several people use this page, each with rights of their own.
    """

    shared: bool

    async def user(self, token: str, peer: str) -> User | None:
        """Who holds it; None: nobody that is known.

        Raises:
            ApiError: it cannot be told now.
            Busy: too much is asked.
        """
        ...

    async def may(self, user: User, verb: str, namespace: str) -> bool:
        """Whether that user may do that to jobs of a namespace; empty: of all of them.

        Raises:
            ApiError: it cannot be told now.
            Busy: too much is asked.
        """
        ...


def bearer(header: str) -> str | None:
    """The token of an ``Authorization`` header; None where there is none, or nothing that can be one."""
    scheme, _, token = header.partition(" ")
    return token if scheme.lower() == "bearer" and TOKEN.fullmatch(token) else None


class OneToken:
    """The page of one person on their own machine: whoever knows the token may do all.

    Args:
        token: made for this process, and told to who started it.
    """

    shared = False

    def __init__(self, token: str) -> None:
        self._token = token

    async def user(self, token: str, peer: str) -> User | None:  # noqa: ARG002
        """Who started the process."""
        return User("you", token) if hmac.compare_digest(token, self._token) else None

    async def may(self, user: User, verb: str, namespace: str) -> bool:  # noqa: ARG002
        """Everything."""
        return True


class Reviewed:
    """Asks the API server: TokenReview for who, SubjectAccessReview for what. Answers are kept for a moment.

    Args:
        api: the API server, asked as ourselves.
        clock: seconds.
    """

    shared = True

    def __init__(self, api: Reviewer, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._users: Bounded[bytes, tuple[float, User]] = Bounded(USERS)
        self._refused: Bounded[bytes, float] = Bounded(REFUSED)
        self._verdicts: Bounded[tuple[bytes, str, str], tuple[float, bool]] = Bounded(VERDICTS)
        self._allowance = Allowance(REVIEWS_PER_SECOND, REVIEWS_AT_ONCE, clock)
        self._waiting = 0

    async def user(self, token: str, peer: str) -> User | None:
        """Who the API server says holds it."""
        digest, now = _digest(token), self._clock()
        known = self._users.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        if (self._refused.get(digest) or 0.0) > now:
            return None
        if not self._allowance.take(peer):
            raise Busy("too many tokens are being checked")
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        found = holder(token, await self._review(TOKEN_REVIEWS, review))
        if found is None:
            self._refused.put(digest, self._clock() + REFUSED_SECONDS)
        else:
            self._users.put(digest, (self._clock() + USER_SECONDS, found))
        return found

    async def may(self, user: User, verb: str, namespace: str) -> bool:
        """Whether the API server would let them."""
        asked = (_digest(user.token), verb, namespace)
        known = self._verdicts.get(asked)
        if known is not None and known[0] > self._clock():
            return known[1]
        answer = await self._review(ACCESS_REVIEWS, access_review(user, verb, namespace))
        allowed = answer.get("allowed") is True and answer.get("denied") is not True
        self._verdicts.put(asked, (self._clock() + VERDICT_SECONDS, allowed))
        return allowed

    async def _review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self._waiting >= MAX_WAITING:
            raise Busy("too many rights are being checked")
        self._waiting += 1
        try:
            status = (await self._api.create_review(path, body)).get("status")
        finally:
            self._waiting -= 1
        return status if isinstance(status, dict) else {}


def holder(token: str, status: dict[str, Any]) -> User | None:
    """Whom a TokenReview's status names; None unless it says that they are who they claim to be."""
    user = status.get("user")
    if status.get("authenticated") is not True or not isinstance(user, dict) or not user.get("username"):
        return None
    identity = {"user": user["username"], "groups": user.get("groups") or [], "uid": user.get("uid") or ""}
    return User(str(user["username"]), token, {**identity, "extra": user.get("extra") or {}})


def access_review(user: User, verb: str, namespace: str) -> dict[str, Any]:
    """The question whether a user may do that to jobs; an empty namespace asks for all of them."""
    attributes = {"group": GROUP, "resource": PLURAL, "verb": verb, "namespace": namespace}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {**user.identity, "resourceAttributes": attributes},
    }


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
