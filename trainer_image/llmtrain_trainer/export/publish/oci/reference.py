"""Where a repository of a registry is reached, and whether a way to it may be gone without TLS."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

DOCKER_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io"}
DOCKER_HUB_SERVER = "registry-1.docker.io"


@dataclass(frozen=True)
class Reference:
    """A repository.

    Attributes:
        host: of the registry, with its port.
        repository: in it.
    """

    host: str
    repository: str

    @classmethod
    def of(cls, text: str) -> Reference:
        """The pieces of ``HOST/REPOSITORY``."""
        host, _, repository = text.partition("/")
        return cls(host, repository)

    @property
    def server(self) -> str:
        """The address of the registry's API."""
        host = DOCKER_HUB_SERVER if self.host in DOCKER_HUB else self.host
        return f"{'http' if is_loopback(host) else 'https'}://{host}"


def is_loopback(host: str) -> bool:
    """Whether the host, with or without a port, is this machine: nobody listens on the way."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def private(url: str) -> bool:
    """Whether what is said to the address is heard by nobody else."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.netloc))
