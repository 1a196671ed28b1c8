"""`hack/test`: which layers run, what counts as a failure, and that it is the same command as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import testlayers

ROOT = Path(__file__).resolve().parents[3]
TWO_SUITES = """<testsuites>
  <testsuite tests="5" failures="1" errors="1" skipped="1"/><testsuite tests="2" failures="0" errors="0"/>
</testsuites>"""


@pytest.fixture(autouse=True)
def bare_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of what is run here needs no plugin, and to load them takes longer than to run it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_the_command_tells_every_layer() -> None:
    told = subprocess.run([ROOT / "hack/test", "--help"], capture_output=True, text=True, check=True).stdout
    assert told.startswith("usage: hack/test")
    assert all(layer.name in told for layer in testlayers.LAYERS)


def test_every_layer_is_a_folder_of_tests() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")} | {"unit"}
    assert {layer.name for layer in testlayers.LAYERS} == folders


def test_layers_run_in_their_own_order(capsys: pytest.CaptureFixture[str]) -> None:
    grammar = testlayers.parser()
    assert [x.name for x in testlayers.chosen_layers(grammar, ["trainer", "unit"])] == ["unit", "trainer"]
    unnamed = [x.name for x in testlayers.chosen_layers(grammar, [])]
    named = ("kueue", "rules", "lm_eval_tasks", "page", "page_on_cluster", "examples_on_cluster", "real")
    on_demand = ("layouts", *named)
    assert unnamed == [x.name for x in testlayers.LAYERS if x.name not in on_demand], "these are asked for"
    assert [x.name for x in testlayers.chosen_layers(grammar, ["layouts"])] == ["layouts"]
    assert [x.name for x in testlayers.chosen_layers(grammar, ["real"])] == ["real"]
    with pytest.raises(SystemExit):
        testlayers.chosen_layers(grammar, ["unit", "intergation"])
    assert "no such layer: intergation" in capsys.readouterr().err


def test_every_test_runs_in_make_test_or_in_make_proofs(capsys: pytest.CaptureFixture[str]) -> None:
    grammar = testlayers.parser()
    everyday = testlayers.chosen_layers(grammar, [])
    proofs = testlayers.chosen_layers(grammar, [], proofs=True)
    named = [x for x in testlayers.LAYERS if x.only_named]
    assert {*everyday, *proofs, *named} == {*testlayers.LAYERS}
    for layer in {*everyday} & {*proofs}:
        assert testlayers.marks(layer, False) == ("-m", "not proof")
        assert testlayers.marks(layer, True) == ("-m", "proof")
    for layer in {*everyday} ^ {*proofs}:
        assert testlayers.marks(layer, layer in proofs) == (), "all of it"
    with pytest.raises(SystemExit):
        testlayers.chosen_layers(grammar, ["unit"], proofs=True)
    assert "no test is marked proof in unit" in capsys.readouterr().err


@pytest.mark.parametrize(("free", "kept"), [(testlayers.ROOM_IN_MEMORY + 1, True), (1 << 26, False)])
def test_files_lie_in_memory_only_where_it_has_room(
    monkeypatch: pytest.MonkeyPatch, free: int, kept: bool
) -> None:
    for name in ("PYTEST_DEBUG_TEMPROOT", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(testlayers, "_room_in_memory", lambda: free)
    found = testlayers.environment_of(testlayers.Layer("unit"))
    assert ("PYTEST_DEBUG_TEMPROOT" in found) == kept
    assert "PYTHONDONTWRITEBYTECODE" not in found, "or each process compiles every module again"
    assert found["OMP_NUM_THREADS"] == "1"


def test_failures_and_errors_count_and_skips_do_not_pass(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(TWO_SUITES)
    count = testlayers.read_counts(testlayers.read_report(report))
    assert (count.passed, count.failed, count.skipped) == (4, 2, 1)


@pytest.mark.parametrize("text", [None, "", "<testsuites><testsuite te"])
def test_a_report_that_was_not_written_to_its_end_counts_nothing(tmp_path: Path, text: str | None) -> None:
    report = tmp_path / "junit.xml"
    if text is not None:
        report.write_text(text)
    assert testlayers.read_counts(testlayers.read_report(report)) == testlayers.Count()


@pytest.mark.parametrize(
    ("body", "failed"),
    [("def test_a(): pass", 0), ("def test_a(): assert False", 1), ("", 1), ("import nothing_like_it", 1)],
)
def test_a_layer_in_which_nothing_ran_has_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, failed: int
) -> None:
    folder = tmp_path / "tests" / "unit"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(body)
    monkeypatch.setattr(testlayers, "ROOT", tmp_path)
    count = testlayers.run(testlayers.Layer("unit"), sys.executable, [])
    assert count.failed == failed
    assert count.passed == (0 if failed else 1)


ONE_OF_EACH = """
from pathlib import Path

def test_steady(): pass
def test_broken(): assert False
def test_busy():
    seen = Path(__file__).with_name("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""


def two_tries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, *options: str, again: bool = True
) -> testlayers.Count:
    folder = tmp_path / "tests" / "unit"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(body)
    monkeypatch.setattr(testlayers, "ROOT", tmp_path)
    layer = testlayers.Layer("unit", options=options)
    return testlayers.run(layer, sys.executable, [], again=again)


def test_what_fails_by_itself_too_has_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # workers are a plugin
    count = two_tries(monkeypatch, tmp_path, ONE_OF_EACH, *testlayers.TWO_WORKERS)
    assert (count.passed, count.failed) == (2, 1)
    assert [one.split("::")[1] for one in count.flaky] == ["test_busy"]
    assert "test_busy failed, and passed by itself" in testlayers.table({"unit": count})


def test_nothing_has_a_second_chance_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = two_tries(monkeypatch, tmp_path, ONE_OF_EACH, again=False)
    assert (count.passed, count.failed, count.flaky) == (1, 2, ())


def test_many_failures_are_no_accident(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many = [ONE_OF_EACH, *(f"def test_{n}(): assert False" for n in range(testlayers.MOST_AGAIN))]
    count = two_tries(monkeypatch, tmp_path, "\n".join(many))
    assert (count.failed, count.flaky) == (testlayers.MOST_AGAIN + 2, ())


def test_a_file_that_cannot_be_read_is_no_accident(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert two_tries(monkeypatch, tmp_path, "import nothing_like_it").failed == 1


def test_a_command_that_fails_before_a_layer_fails_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(testlayers, "ROOT", tmp_path)
    layer = testlayers.Layer("unit", before=(("false",),))
    assert testlayers.run(layer, "no python is needed", []).failed == 1


def test_the_table_ends_with_the_totals() -> None:
    text = testlayers.table({"unit": testlayers.Count(3, 0, 1, 2.4), "e2e": testlayers.Count(1, 2, 0, 60)})
    assert text.splitlines()[-1] == "4 passed, 2 failed"
