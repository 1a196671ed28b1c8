"""The operator's flags."""

from __future__ import annotations

import pytest

from llmtrain_operator.settings import parse


def test_flags_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--trainer-image", "x"]).workers == 8
    with pytest.raises(SystemExit) as caught:
        parse(["--workers", "many"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "--workers" in said
    assert "--trainer-image" in said


def test_hosts_of_notifications_have_a_form(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--trainer-image", "x"]
    assert parse(given).notify_allow == ()
    assert parse([*given, "--notify-allow", "a.test,*.b.test:8443,*"]).notify_allow == (
        "a.test",
        "*.b.test:8443",
        "*",
    )
    for flag, value in (("allow", "https://a.test"), ("inside", "*.svc"), ("inside", "*")):
        with pytest.raises(SystemExit):
            parse([*given, f"--notify-{flag}", value])
        assert value in capsys.readouterr().err


@pytest.mark.parametrize("address", ["collector:4318", "grpc://collector:4317", "http://", "http://a b"])
def test_where_traces_go_is_an_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--trainer-image", "x", "--trace-endpoint"]
    assert parse([*given, ""]).trace_endpoint == ""
    assert parse([*given, "https://collector.example.com/otlp"]).trace_endpoint
    with pytest.raises(SystemExit):
        parse([*given, address])
    assert "--trace-endpoint" in capsys.readouterr().err


def test_the_namespace_may_say_whom_pods_run_as(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--trainer-image", "x", "--run-as-user"]
    assert parse(given[:2]).run_as_user == 1000
    assert parse([*given, ""]).run_as_user is None
    with pytest.raises(SystemExit):
        parse([*given, "0"])
    assert "--run-as-user" in capsys.readouterr().err


def test_a_price_is_a_number_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--trainer-image", "x", "--gpu-hour-price"]
    assert parse([*given, "2.5", "--currency", "EUR"]).gpu_hour_price == 2.5
    assert parse([*given, ""]).gpu_hour_price is None
    with pytest.raises(SystemExit):
        parse([*given, "-1"])
    assert "--gpu-hour-price" in capsys.readouterr().err
