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


def test_a_price_is_a_number_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--trainer-image", "x", "--gpu-hour-price"]
    assert parse([*given, "2.5", "--currency", "EUR"]).gpu_hour_price == 2.5
    assert parse([*given, ""]).gpu_hour_price is None
    with pytest.raises(SystemExit):
        parse([*given, "-1"])
    assert "--gpu-hour-price" in capsys.readouterr().err
