"""Where the operator may call, and where never."""

from __future__ import annotations

import pytest

from llmtrain_api import Target, target_of
from llmtrain_operator.egress import ALLOW_ENTRY, INSIDE_ENTRY, Egress, odd_entries

EGRESS = Egress(
    allow=("hooks.slack.com", "*.example.com", "ci.test:8443"), inside=("events.tools.svc", "box:8080")
)
PUBLIC = ("1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")
PRIVATE = (
    "10.0.0.1",
    "172.16.3.4",
    "192.168.1.1",
    "100.64.0.1",
    "127.0.0.1",
    "::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "fec0::1",
    "198.18.0.1",
    "240.0.0.1",
)
NEVER = ("169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "::ffff:169.254.169.254")


def allowed(url: str, egress: Egress = EGRESS) -> bool:
    target = target_of(url)
    assert target is not None
    return egress.refusal(target) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T/B/x",
        "https://HOOKS.slack.com",
        "https://a.b.example.com/x?y=1",
        "https://ci.test:8443/",
        "https://events.tools.svc/",
        "http://events.tools.svc",
        "http://box:8080/hook",
    ],
)
def test_hosts_that_are_named_may_be_told(url: str) -> None:
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/",
        "https://hooks.slack.com:6443/",
        "https://hooks.slack.com.evil.test/",
        "https://evilexample.com/",
        "https://example.com/",
        "https://ci.test/",
        "http://box/",
        "https://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_no_others_may(url: str) -> None:
    assert not allowed(url)


def test_a_star_is_any_host_outside_and_none_inside() -> None:
    star = Egress(allow=("*",))
    assert allowed("https://anything.test/", star)
    assert not allowed("http://anything.test/", star)
    assert not star.may_be("anything.test", 443, "10.0.0.1")


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    assert EGRESS.may_be("hooks.slack.com", 443, address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_ones_only_for_hosts_inside(address: str) -> None:
    assert not EGRESS.may_be("hooks.slack.com", 443, address)
    assert not EGRESS.may_be("box", 9090, address)
    assert EGRESS.may_be("Box", 8080, address)


@pytest.mark.parametrize("address", NEVER)
def test_those_of_the_node_and_the_cloud_never(address: str) -> None:
    assert not EGRESS.may_be("hooks.slack.com", 443, address)
    assert not EGRESS.may_be("box", 8080, address)


def test_nothing_is_allowed_where_nothing_is_said() -> None:
    assert Egress().off
    assert not allowed("https://hooks.slack.com/", Egress())
    assert Egress(everywhere=True).may_be("here", 80, "127.0.0.1")
    assert allowed("http://127.0.0.1:1/", Egress(everywhere=True))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a/",
        "https://",
        "https://user:pass@a/",
        "https://a@b/",
        "https://a\\@b/",
        "https://a b/",
        "https://a/ b",
        "https://a/\r\nX: 1",
        "https://a:99999/",
        "https://a:0/",
        "https://[::1]/",
        "https://ä.test/",
        "//a/",
        "https:/a/",
        "https://a#b@c/",
        "https://a/" + "x" * 2048,
    ],
)
def test_what_parsers_might_read_in_two_ways_is_no_url(url: str) -> None:
    assert target_of(url) is None


def test_a_target_is_scheme_host_and_port() -> None:
    assert target_of("https://A.b/c?d") == Target("https", "a.b", 443)
    assert target_of("http://a:81") == Target("http", "a", 81)


def test_entries_have_a_form() -> None:
    assert odd_entries(("a", "*.b.c:1", "*"), ALLOW_ENTRY) == []
    assert odd_entries(("https://a", "A", "*a", "a/b", "a:x"), ALLOW_ENTRY) != []
    assert odd_entries(("*", "*.a", "a.b:1"), INSIDE_ENTRY) == ["*", "*.a"]
