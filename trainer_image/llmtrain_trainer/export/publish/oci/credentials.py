"""Who pushes: a user and a password of the job's Secret, or of whoever is logged in on a laptop."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmtrain_api.names import ENV_REGISTRY_CONFIG, PUBLISH_SECRET_PREFIX

from .reference import DOCKER_HUB, Reference

HUB_KEYS = ("index.docker.io", "docker.io", "registry-1.docker.io")


@dataclass(frozen=True)
class Credentials:
    """A user and a password."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of a header Authorization."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


def credentials_for(reference: Reference, environ: Mapping[str, str]) -> Credentials | None:
    """Who may push to a repository, as far as anybody says.

    A Secret of type kubernetes.io/basic-auth comes before one of type kubernetes.io/dockerconfigjson, and
    both before ``docker login``.

    Args:
        reference: the repository.
        environ: variables of this process.

    Raises:
        ValueError: the Secret's configuration is none.
    """
    user = environ.get(f"{PUBLISH_SECRET_PREFIX}username")
    password = environ.get(f"{PUBLISH_SECRET_PREFIX}password")
    if user and password:
        return Credentials(user, password)
    if text := environ.get(ENV_REGISTRY_CONFIG):
        return _in_config(text, reference, "the Secret's .dockerconfigjson")
    home = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME") or "/nowhere") / ".docker")
    try:
        text = (Path(home) / "config.json").read_text(encoding="utf-8")
    except OSError:
        return None
    return _in_config(text, reference, "config.json of docker login")


def _in_config(text: str, reference: Reference, source: str) -> Credentials | None:
    """Whoever the entry names that is most about the repository."""
    try:
        auths = json.loads(text).get("auths") or {}
        entries = {_key(name): value for name, value in auths.items() if isinstance(value, dict)}
    except (ValueError, AttributeError):
        # the text has passwords: no word of it
        raise ValueError(f'{source} is no configuration of docker: {{"auths": {{"HOST": ...}}}}') from None
    for name in _names(reference):
        if name in entries and (found := _entry(entries[name])):
            return found
    return None


def _key(name: str) -> str:
    """``https://HOST/v1/`` is the same as ``HOST``."""
    text = name.removeprefix("https://").removeprefix("http://").rstrip("/")
    return text.removesuffix("/v1").removesuffix("/v2")


def _names(reference: Reference) -> Iterator[str]:
    """What an entry may be called, from the one that is most about the repository on."""
    hosts = HUB_KEYS if reference.host in DOCKER_HUB else (reference.host,)
    parts = reference.repository.split("/")
    for host in hosts:
        for count in range(len(parts), 0, -1):
            yield f"{host}/{'/'.join(parts[:count])}"
        yield host


def _entry(entry: Mapping[str, Any]) -> Credentials | None:
    user, password = entry.get("username"), entry.get("password")
    if not (user and password):
        try:
            user, _, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
        except ValueError:
            return None
    return Credentials(str(user), str(password)) if user and password else None
