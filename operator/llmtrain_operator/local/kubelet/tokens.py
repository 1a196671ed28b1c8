"""Tokens of pods on this machine: what a cluster's ServiceAccount tokens are there."""

from __future__ import annotations

import secrets
from hashlib import sha256

from ...progress.auth import PodIdentity


class PodTokens:
    """Gives out tokens and knows whose they are. Kept as digests only."""

    def __init__(self) -> None:
        self._pods: dict[bytes, PodIdentity] = {}

    def issue(self, pod: PodIdentity) -> str:
        """A new token that is bound to this pod."""
        token = secrets.token_urlsafe(32)
        self._pods[_digest(token)] = pod
        return token

    async def identify(self, token: str, peer: str) -> PodIdentity | None:  # noqa: ARG002
        """The pod that the token was given to."""
        return self._pods.get(_digest(token))


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
