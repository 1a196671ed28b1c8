"""Tokens of pods on this machine: what a cluster's ServiceAccount tokens are there."""

from __future__ import annotations

import secrets
from hashlib import sha256


class PodTokens:
    """Gives out tokens and knows whose they are. SavedJob as digests only."""

    def __init__(self) -> None:
        self._pods: dict[bytes, str] = {}

    def issue(self, pod_uid: str) -> str:
        """A new token that is bound to this pod."""
        token = secrets.token_urlsafe(32)
        self._pods[_digest(token)] = pod_uid
        return token

    async def pod_uid(self, token: str) -> str | None:
        """UID of the pod the token was given to."""
        return self._pods.get(_digest(token))


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
