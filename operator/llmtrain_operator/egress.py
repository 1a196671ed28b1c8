"""Where the operator may tell of jobs: what users name is hostile until it is checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from llmtrain_api import Target

WEB_PORTS = (80, 443)
NAT64 = IPv6Network("64:ff9b::/96")
HOST = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
PORT = r"(:[0-9]{1,5})?"
ALLOW_ENTRY = re.compile(rf"(\*|(\*\.)?{HOST}){PORT}")
INSIDE_ENTRY = re.compile(rf"{HOST}{PORT}")


@dataclass(frozen=True, slots=True)
class Egress:
    """What whoever installed the operator lets jobs have told.

    Attributes:
        allow: hosts outside that may be told over https: ``host``, ``*.example.com`` or ``*``, each with
            ``:port`` where that is neither 80 nor 443.
        inside: hosts by their whole name that may also have private addresses and be told over http.
        secrets: names of the Secrets, in the namespaces of jobs, that may hold URLs.
        everywhere: whether all that counts for nothing, as on a person's own machine.
    """

    allow: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    everywhere: bool = False

    @property
    def off(self) -> bool:
        """Whether nobody may be told anything."""
        return not (self.allow or self.inside or self.everywhere)

    def refusal(self, target: Target) -> str | None:
        """Why a URL may not be called, without a word of it; None where its host is allowed."""
        if self.everywhere or self._is_inside(target.host, target.port):
            return None
        if not any(_names(entry, target.host, target.port) for entry in self.allow):
            return "its host is not among notifications.allow of the operator's chart"
        if target.scheme != "https":
            return "http is only for hosts among notifications.inside of the operator's chart; use https"
        return None

    def may_be(self, host: str, port: int, address: str) -> bool:
        """Whether a host that may be told may have that address: it is called nowhere else.

        The addresses by which a node or a cloud speaks to its own machines are for nobody.
        """
        if self.everywhere:
            return True
        found = _real(ip_address(address.partition("%")[0]))
        if found.is_link_local or found.is_multicast or found.is_unspecified:
            return False
        return _is_public(found) or self._is_inside(host.lower(), port)

    def _is_inside(self, host: str, port: int) -> bool:
        return any(_names(entry, host, port) for entry in self.inside)


def _names(entry: str, host: str, port: int) -> bool:
    name, _, number = entry.partition(":")
    if port not in ((int(number),) if number else WEB_PORTS):
        return False
    return name == "*" or name == host or (name.startswith("*.") and host.endswith(name[1:]))


def _real(found: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it is such a one."""
    if isinstance(found, IPv4Address):
        return found
    if found in NAT64:
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or found


def _is_public(found: IPv4Address | IPv6Address) -> bool:
    site_local = isinstance(found, IPv6Address) and found.is_site_local
    return found.is_global and not (found.is_reserved or site_local)


def odd_entries(entries: Iterable[str], form: re.Pattern[str]) -> list[str]:
    """Entries of a list of hosts that have not that form."""
    return [entry for entry in entries if not form.fullmatch(entry)]
