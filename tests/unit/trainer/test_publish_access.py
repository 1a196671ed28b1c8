"""Who pushes to a registry: by what it is proven, and that nobody else hears it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.builders import job
from harness.pushes import OTHER, REPOSITORY, asked_of, push, registry_for_its_user, start_of
from harness.registry import BEFORE, Registry, registry

from llmtrain_trainer.export import publish as publishing
from llmtrain_trainer.output import Output


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    with registry_for_its_user(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("by_token", [True, False])
@pytest.mark.parametrize("password", ["wrong-pass", ""])
def test_who_may_not_push_is_told_at_once_with_the_fix(
    password: str, by_token: bool, server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.by_token = by_token
    monkeypatch.setenv("PUBLISH_password", password)
    waits: list[float] = []
    found = push(server, tmp_path / "o", waits)
    assert "401" in (found.error or "")
    assert "kubernetes.io/dockerconfigjson that spec.output.publish.secret names" in (found.error or "")
    assert waits == []


@pytest.mark.parametrize("status", [403, 503, BEFORE])
def test_no_word_of_a_password_or_a_signed_address_is_told(
    status: int,
    server: Registry,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.failures["PUT .*/uploads"], server.stays = [status], True
    with caplog.at_level(logging.DEBUG, logger="llmtrain"):
        found = push(server, tmp_path / "o")
    told = capfd.readouterr()
    text = (found.error or "") + told.out + told.err + Output(tmp_path / "o").published.read_text()
    assert found.error is not None
    basic = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    for secret in (server.password, basic, *server.tokens, "signed-state"):
        assert secret not in text


def test_another_host_that_takes_the_uploads_hears_no_password(server: Registry, tmp_path: Path) -> None:
    with registry(tmp_path / "store") as store:
        store.password = ""
        store.folder = server.folder
        server.elsewhere = f"http://{store.host}"
        store.open_uploads = server.open_uploads
        assert push(server, tmp_path / "o").error is None
        assert [line for line, header in store.authorized if header] == []
        assert [line for line in store.asked if line.startswith("PUT")] != []


def test_a_realm_without_tls_hears_no_password(server: Registry, tmp_path: Path) -> None:
    server.host, real = f"registry.example.com/token?at={server.host}", server.host
    asked = job(tmp_path / "o", output={"publish": {"oci": f"{real}/{REPOSITORY}"}})
    waits: list[float] = []
    found = publishing.publish(asked, start_of(tmp_path / "o", asked), waits.append)
    assert "without TLS" in (found.error or "")
    assert waits == []


def test_a_configuration_that_is_none_is_told_without_a_word_of_it(
    server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUBLISH_password")
    monkeypatch.setenv("PUBLISH_DOCKERCONFIGJSON", '{"auths": {"s3cret"')
    found = push(server, tmp_path / "o")
    assert "the Secret's .dockerconfigjson is no configuration of docker" in (found.error or "")
    assert "s3cret" not in (found.error or "")


def test_a_registry_that_asks_for_the_password_itself(server: Registry, tmp_path: Path) -> None:
    server.by_token = False
    assert push(server, tmp_path / "o").error is None
    assert server.tokens == []


def test_a_registry_that_anybody_may_push_to(
    server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.password = ""
    monkeypatch.delenv("PUBLISH_password")
    assert push(server, tmp_path / "o").error is None
    assert {header for _, header in server.authorized} == {""}


def test_a_token_that_has_run_out_is_got_anew(server: Registry, tmp_path: Path) -> None:
    first = push(server, tmp_path / "o")
    original = server.fault

    def forgets(line: str) -> int | None:
        if line.startswith("PUT") and "blobs" in line and len(server.tokens) == 2:
            server.tokens[:] = ["none", "of", "these"]
        return original(line)

    server.fault = forgets  # type: ignore[method-assign]
    start = start_of(tmp_path / "p", asked_of(server, tmp_path / "p", OTHER))
    (start.output.export / "config.json").write_text('{"a": 1}')
    found = publishing.publish(asked_of(server, tmp_path / "p", OTHER), start, lambda _: None)
    assert found.error is None
    assert found.digest != first.digest
    assert len(server.tokens) > 3
