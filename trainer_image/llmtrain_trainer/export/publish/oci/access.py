"""How a registry is told who asks: by the user's password, or by a token that it is exchanged for."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2

from .credentials import Credentials
from .reference import Reference, private

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class Refusal(Exception):
    """The server that gives tokens has given none.

    Args:
        status: of its answer.
    """

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the server that gives tokens answers {status}")


class Access:
    """What each request to a registry says of who asks; nothing until the registry wants to know.

    Args:
        client: that asks for tokens.
        reference: the repository.
        credentials: of who pushes; None where nobody says.
    """

    def __init__(self, client: httpx2.Client, reference: Reference, credentials: Credentials | None) -> None:
        self._client, self._reference, self._credentials = client, reference, credentials
        self._header: dict[str, str] = {}
        self._host = urlsplit(reference.server).netloc

    def header(self, url: str) -> dict[str, str]:
        """The header of a request; none for another host, which an upload may be sent to."""
        return self._header if urlsplit(url).netloc == self._host and private(url) else {}

    def renew(self, headers: httpx2.Headers) -> bool:
        """Do as a refusal says; whether there is something new to say.

        Raises:
            Refusal: the server that gives tokens has given none.
            ValueError: it would hear the password without TLS.
        """
        kind, _, rest = headers.get("WWW-Authenticate", "").partition(" ")
        found = {}
        if kind.lower() == "basic" and self._credentials:
            found = {"Authorization": self._credentials.basic}
        elif kind.lower() == "bearer":
            found = {"Authorization": f"Bearer {self._token(dict(_PARAMETER.findall(rest)))}"}
        changed, self._header = bool(found) and found != self._header, found
        return changed

    def _token(self, asked: dict[str, str]) -> str:
        realm = asked.get("realm", "")
        if not private(realm):
            raise ValueError("the registry asks for the password at an address without TLS")
        scope = asked.get("scope") or f"repository:{self._reference.repository}:pull,push"
        query = {"scope": scope, "client_id": "llmtrain"}
        if "service" in asked:
            query["service"] = asked["service"]
        own = {"Authorization": self._credentials.basic} if self._credentials else {}
        answer = self._client.get(realm, params=query, headers=own)
        if answer.status_code != HTTPStatus.OK:
            raise Refusal(answer.status_code)
        found = answer.json()
        return str(found.get("token") or found["access_token"])
