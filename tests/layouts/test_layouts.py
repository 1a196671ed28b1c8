"""Layouts compute what one process computes; what does not is refused; each trap is seen."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from harness.layouts.mutants import MUTANTS
from harness.layouts.proof import Bench
from harness.layouts.prove import TABLE, identity, key, line
from harness.layouts.rows import FAMILIES, REFUSED, Row, quick, required

from llmtrain_api import InvalidJob, Layout, layout_of, parse_spec
from llmtrain_api.layouts.proven import Asked, refusal

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def table() -> dict[Any, dict[str, Any]]:
    return {key(row): row for row in json.loads(TABLE.read_text())}


@pytest.mark.parametrize("row", quick(), ids=str)
def test_a_layout_computes_what_one_process_computes(row: Row, bench: Bench) -> None:
    proof = bench.prove(row)
    print(line(proof, None))
    assert proof.error is None, proof.error


@pytest.mark.parametrize("row", [row for row in REFUSED if not row.compiled], ids=str)
def test_what_is_refused_goes_wrong(row: Row, bench: Bench) -> None:
    assert bench.prove(row).error is not None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_trap_is_seen(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, row = MUTANTS[name]
    bench.reference(row)
    plant(monkeypatch)
    assert bench.prove(row).error is not None


def test_the_table_has_every_row_with_its_verdict(table: dict[Any, dict[str, Any]]) -> None:
    assert table.keys() == {key(identity(row)) for row in [*required(), *REFUSED]}, "run `make layouts`"
    for row in required():
        found = table[key(identity(row))]
        assert found["verdict"] == "equal"
        assert found["worstError"] <= 1e-5 or row.precision != "fp32"
    for row, reason in REFUSED.items():
        assert table[key(identity(row))]["reason"] == reason


def test_validation_allows_what_is_proven_and_refuses_what_is_not() -> None:
    for row in required():
        assert refusal(row.asked) is None, row
        spec = row.spec(clipping=1.0)
        assert layout_of(row.shape, spec) == row.layout, row
    for row, reason in REFUSED.items():
        assert reason in (refusal(row.asked) or ""), row


def test_an_unknown_family_may_only_what_a_row_says() -> None:
    row = {
        "family": "new", "layout": "dp", "zero": 1, "packing": "concat", "checkpointing": False,
        "precision": "fp32", "verdict": "equal",
    }  # fmt: skip
    usual: dict[str, Any] = {"family": "new", "layout": Layout(data=4), "packing": "concat"}
    usual |= {"recompute": None, "precision": "fp32"}

    def asked(**changes: Any) -> Asked:
        return Asked(**usual | changes)

    assert refusal(asked(), [row]) is None
    assert refusal(asked(layout=Layout()), [row]) is None
    for changes in (
        {"layout": Layout(data=2, zero=2)},
        {"layout": Layout(tensor=2)},
        {"packing": "documents"},
        {"recompute": "full"},
        {"recompute": "selective"},
        {"precision": "bf16"},
        {"family": "other"},
        {"compiled": True},
    ):
        assert "not proven" in (refusal(asked(**changes), [row]) or ""), changes


@pytest.mark.parametrize(("family", "cut"), [*product(("gpt2", "bert", "t5"), ("pipeline", "sequence"))])
def test_the_message_names_the_family_and_why(family: str, cut: str) -> None:
    spec = {
        "model": FAMILIES[family],
        "dataset": {"name": "builtin://random-tokens"},
        "output": {"uri": "pvc://claim/run"},
        "processesPerNode": 2,
        "parallelism": {cut: 2},
        "training": {"sequenceLength": 32},
    }
    with pytest.raises(InvalidJob, match=f"spec.parallelism: {family} with {cut[0]}p: .*Llama and Qwen"):
        parse_spec(spec, strict=True)


def test_the_table_lies_in_the_contract() -> None:
    assert Path(TABLE).parents[1].name == "llmtrain_api"
