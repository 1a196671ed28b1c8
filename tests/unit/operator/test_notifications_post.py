"""Real POSTs to receivers on this machine that do all that a hostile one may."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from harness.receiver import OK, Act, Receiver, receiver
from structlog.testing import LogCapture

from llmtrain_operator.egress import Egress
from llmtrain_operator.notifications.body import Body
from llmtrain_operator.notifications.post import Answer, HttpPost, Lookups
from llmtrain_operator.progress.tls import new_authority, server_context
from llmtrain_operator.types import Outcome

BODY = Body(b'{"id": "1"}', "application/cloudevents+json; charset=utf-8")


def here(found: Receiver, *more: str) -> Egress:
    """An installation that lets jobs tell that receiver."""
    return Egress(inside=(f"127.0.0.1:{found.port}", f"receiver.test:{found.port}", *more))


async def posted(
    url: str, egress: Egress, addresses: list[str] | None = None, seconds: float = 5.0
) -> Answer:
    """One try, where every host has those addresses."""

    async def lookup(_host: str, _port: int) -> list[str]:
        if addresses is None:
            raise OSError("no such host")
        return addresses

    post = HttpPost(egress, lookup, seconds)
    try:
        return await post.send(url, BODY)
    finally:
        await post.close()


async def test_an_event_arrives_in_structured_mode() -> None:
    async with receiver() as found:
        assert await posted(found.url(), here(found)) == Answer(Outcome.DELIVERED)
    [request] = found.heard
    assert request.startswith(b"POST /T0KEN?key=T0KEN HTTP/1.1\r\n")
    assert b"application/cloudevents+json" in request
    assert request.endswith(BODY.content)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (202, Outcome.DELIVERED),
        (400, Outcome.REFUSED),
        (404, Outcome.REFUSED),
        (410, Outcome.REFUSED),
        (408, Outcome.FAILED),
        (429, Outcome.FAILED),
        (500, Outcome.FAILED),
        (503, Outcome.FAILED),
    ],
)
async def test_answers_decide_whether_it_is_tried_again(status: int, outcome: Outcome) -> None:
    async with receiver(f"HTTP/1.1 {status} T0KEN\r\nContent-Length: 5\r\n\r\nT0KEN".encode()) as found:
        answer = await posted(found.url(), here(found))
    assert answer.outcome is outcome
    assert "T0KEN" not in answer.reason, "what a receiver says reaches no status"


async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as secret:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {secret.url()}\r\nContent-Length: 0\r\n\r\n".encode()
        async with receiver(moved) as found:
            answer = await posted(found.url(), here(found, f"127.0.0.1:{secret.port}"))
    assert answer.outcome is Outcome.REFUSED
    assert "redirect" in answer.reason
    assert secret.heard == []


async def test_nobody_listens() -> None:
    async with receiver() as found:
        pass
    answer = await posted(found.url(), here(found))
    assert answer == Answer(Outcome.FAILED, "it could not be reached")


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A head that never ends, a byte now and then."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.02)


async def interim(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("act", [hang, drip, interim], ids=["hangs", "drips", "goes on and on"])
async def test_a_receiver_that_does_not_answer_costs_its_time_and_no_more(act: Act) -> None:
    async with receiver(act) as found:
        answer = await asyncio.wait_for(posted(found.url(), here(found), seconds=0.5), 10)
    assert answer == Answer(Outcome.FAILED, "it did not answer within 0.5 s")


async def test_a_head_without_end_is_cut_off() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            writer.write(b"X-%d: T0KEN\r\n" % number)
            await writer.drain()

    async with receiver(flood) as found:
        answer = await posted(found.url(), here(found))
    assert answer.outcome is Outcome.FAILED
    assert "T0KEN" not in answer.reason


async def test_a_body_without_end_is_not_read() -> None:
    sent = 0

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with receiver(endless) as found:
        assert await posted(found.url(), here(found)) == Answer(Outcome.DELIVERED)
        await asyncio.sleep(0.2)
    assert sent < 64 * 2**20, "the connection is closed once the head is there"


async def test_no_http_is_no_answer() -> None:
    async with receiver(b"SSH-2.0-OpenSSH_9.2\r\n") as found:
        answer = await posted(found.url(), here(found))
    assert answer.outcome is Outcome.FAILED
    assert "SSH" not in answer.reason


# -- where it is called -----------------------------------------------------------------------------------


async def test_what_is_connected_to_is_the_address_that_was_checked() -> None:
    """The system's own resolver does not know that name: no other look-up is made."""
    async with receiver() as found:
        answer = await posted(found.url("receiver.test"), here(found), ["127.0.0.1"])
        assert answer == Answer(Outcome.DELIVERED)
    assert b"Host: receiver.test" in found.heard[0]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.96.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_a_name_of_a_private_address_is_not_called(address: str) -> None:
    async with receiver() as found:
        outside = Egress(allow=(f"receiver.test:{found.port}",))
        url = f"https://receiver.test:{found.port}/T0KEN"
        for addresses in ([address], ["1.1.1.1", address]):
            answer = await posted(url, outside, addresses)
            assert answer.outcome is Outcome.REFUSED
            assert "notifications.inside" in answer.reason
    assert found.heard == []


async def test_an_address_in_place_of_a_name_is_checked_too() -> None:
    async with receiver() as found:
        for host in ("127.0.0.1", "169.254.169.254"):
            answer = await posted(f"https://{host}:{found.port}/", Egress(allow=(f"*:{found.port}",)))
            assert answer.outcome is Outcome.REFUSED
    assert found.heard == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
async def test_numbers_that_mean_an_address_lead_nowhere(host: str) -> None:
    async with receiver() as found:
        post = HttpPost(Egress(allow=(f"*:{found.port}",)), seconds=5.0)
        answer = await post.send(f"https://{host}:{found.port}/", BODY)
        await post.close()
        assert answer.outcome is not Outcome.DELIVERED
        assert found.heard == []


async def test_a_metadata_service_is_not_called_even_inside() -> None:
    answer = await posted("http://meta.test/", Egress(inside=("meta.test",)), ["169.254.169.254"])
    assert answer.outcome is Outcome.REFUSED


async def test_what_is_no_url_is_not_called() -> None:
    for url in ("hunter2-T0KEN", "https://user:T0KEN@receiver.test/", "file:///etc/passwd"):
        answer = await posted(url, Egress(everywhere=True))
        assert answer.outcome is Outcome.REFUSED
        assert "T0KEN" not in answer.reason


async def test_a_host_without_an_address_is_tried_again() -> None:
    assert await posted("https://receiver.test/", Egress(allow=("*",))) == Answer(
        Outcome.FAILED, "its host has no address"
    )


async def test_a_certificate_that_is_not_trusted_hears_nothing(tls: ssl.SSLContext) -> None:
    heard = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await posted(
            f"https://localhost:{port}/T0KEN", Egress(inside=(f"localhost:{port}",)), ["127.0.0.1"]
        )
    assert answer == Answer(Outcome.FAILED, "its certificate is not trusted")
    assert not any(heard)


@pytest.mark.parametrize(
    ("host", "outcome"), [("localhost", Outcome.DELIVERED), ("receiver.test", Outcome.FAILED)]
)
async def test_the_certificate_must_be_of_the_host_that_was_named(
    host: str, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever address it has."""
    authority = new_authority(datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(authority, ["localhost"]))
    async with server:
        port = server.sockets[0].getsockname()[1]
        inside = Egress(inside=(f"{host}:{port}",))
        answer = await posted(f"https://{host}:{port}/", inside, ["127.0.0.1"])
    assert answer.outcome is outcome, answer


@pytest.fixture
def tls() -> ssl.SSLContext:
    """A server's certificate by an authority that nobody knows."""
    return server_context(new_authority(datetime.now(UTC)), ["localhost"])


async def test_a_name_server_that_hangs_keeps_no_thread_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls to the API server look its name up there."""
    let_go = threading.Event()
    threads: list[str] = []

    def hangs(*_: object, **__: object) -> list[object]:
        threads.append(threading.current_thread().name)
        let_go.wait(30)
        return []

    monkeypatch.setattr("socket.getaddrinfo", hangs)
    lookups = Lookups()
    waiting = [asyncio.ensure_future(lookups("a.test", 443)) for _ in range(64)]
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 5) == 1
    let_go.set()
    lookups.close()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert {name.rpartition("_")[0] for name in threads} == {"notify-lookup"}


async def test_no_log_has_a_url(caplog: pytest.LogCaptureFixture) -> None:
    captured = LogCapture()
    structlog.configure(processors=[captured])
    try:
        with caplog.at_level(logging.DEBUG):
            async with receiver(b"HTTP/1.1 500 no\r\n\r\n") as found:
                await posted(found.url(), here(found))
            await posted(found.url(), here(found))
    finally:
        structlog.reset_defaults()
    assert "T0KEN" not in caplog.text
    assert "T0KEN" not in json.dumps(captured.entries, default=str)
