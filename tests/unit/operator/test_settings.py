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
