"""What `hack/test` does: run the test layers in order, prepare what each needs, and count what each ran.

A layer in which nothing ran has failed: a skipped proof is no proof. Standard library only; pytest runs in
the environment that `hack/venv` makes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAINER_IMAGE = "localhost/llmtrain-trainer:dev"
OPERATOR_IMAGE = "localhost/llmtrain-operator:dev"
MEMORY_DISK = Path("/dev/shm")
ROOM_IN_MEMORY = 6 << 30
"""Free bytes that it takes to keep the files of tests in memory: a layer's are less than a third of it."""
MOST_AGAIN = 5
"""Tests of a layer that may fail and be given another chance: of more, the machine is not the cause."""


@dataclass(frozen=True)
class Layer:
    """A folder of tests, and the commands that must have run before it."""

    name: str
    before: tuple[tuple[str, ...], ...] = ()
    cluster: bool = False
    options: tuple[str, ...] = ()
    only_named: bool = False
    """It takes long and proves what others prove small: it runs where it is asked for by name."""
    proofs: bool = False
    """Some of its tests are marked `proof`: the long ones, which only `make proofs` runs."""
    only_proofs: bool = False
    """All of them are."""


TWO_NODES = (
    ("hack/cluster", "install"),
    ("hack/cluster", "images"),
    ("hack/cluster", "up"),
    ("hack/cluster", "load", OPERATOR_IMAGE, TRAINER_IMAGE),
    ("hack/install", "--set", "queue.growSeconds=20"),
)
"""A cluster with both images and the chart."""

BROWSER_DRIVER = ("npm", "ci", "--prefix", "web", "--silent")
TWO_WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
"""A file stays in one worker; files begin in the order in which they were collected."""

LAYERS = (
    Layer("unit", options=TWO_WORKERS),
    # it prints what it went through; what needs one process runs beside what starts two
    Layer("simulation", options=("-rP", *TWO_WORKERS), proofs=True),
    Layer("integration", before=(("hack/cluster", "build"),), options=TWO_WORKERS, proofs=True),
    Layer("trainer", options=TWO_WORKERS, proofs=True),  # they wait more than they compute
    Layer("layouts", only_proofs=True),
    Layer("cluster", proofs=True),
    Layer("e2e", before=TWO_NODES, cluster=True, proofs=True),
    Layer("kueue", before=(*TWO_NODES, ("hack/cluster", "build", "kueue")), cluster=True, only_named=True),
    Layer("rules", before=(("hack/cluster", "build", "prometheus"),), only_named=True),
    Layer("lm_eval_tasks", only_named=True),
    Layer("page", before=(BROWSER_DRIVER,), only_named=True),
    Layer("page_on_cluster", before=(BROWSER_DRIVER, *TWO_NODES), cluster=True, only_named=True),
    Layer("examples_on_cluster", before=TWO_NODES, cluster=True, only_named=True),
    Layer("real", before=TWO_NODES, cluster=True, only_named=True),
)


@dataclass
class Count:
    """What one layer ran."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    flaky: tuple[str, ...] = ()
    """Tests that failed, and passed when they ran again by themselves."""


def cluster_is_up() -> bool:
    """Whether the nodes that the last layer needs are here already."""
    status = subprocess.run(["hack/cluster", "status"], cwd=ROOT, capture_output=True, check=False)
    return status.returncode == 0


def cluster_environment() -> dict[str, str]:
    """What `hack/cluster env` exports."""
    command = ["hack/cluster", "env"]
    exports = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r'^export (\w+)="?([^"\n]+)"?', exports, re.MULTILINE))
    found["PATH"] = found["PATH"].replace("$PATH", os.environ["PATH"])
    return os.environ | found


def environment_of(layer: Layer) -> dict[str, str]:
    """What pytest runs in: modules are compiled once, a process computes in one thread, files lie in memory.

    Two workers share two processors, and threads that wait for each other would only burn time. Tests kill
    processes and not the machine: no file has to reach a disk, and each wait for one is lost.
    """
    found = cluster_environment() if layer.cluster else dict(os.environ)
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    found.setdefault("OMP_NUM_THREADS", "1")
    if not layer.cluster and _room_in_memory() > ROOM_IN_MEMORY:
        found.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY_DISK))
    return found


def _room_in_memory() -> int:
    """Bytes that files in memory may take: of the disk in memory, and of the memory that nobody uses."""
    try:
        disk = shutil.disk_usage(MEMORY_DISK).free
        told = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return min(disk, int(told[1]) * 1024) if told else 0


def read_report(report: Path) -> ET.Element:
    """A JUnit file; an empty one if pytest died before it wrote the whole of it."""
    try:
        return ET.parse(report).getroot()
    except (OSError, ET.ParseError) as error:
        print(f"no report of this layer's tests: {error}", flush=True)
        return ET.Element("testsuites")


def failed_tests(report: ET.Element) -> tuple[str, ...]:
    """Names of the tests that failed, or that what they need failed for."""
    cases = report.iter("testcase")
    return tuple(
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    )


def read_counts(report: ET.Element) -> Count:
    """Totals of a JUnit file."""
    count = Count()
    for suite in report.iter("testsuite"):
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        count.failed += failed
        count.skipped += skipped
        count.passed += tests - failed - skipped
    return count


def marks(layer: Layer, proofs: bool) -> tuple[str, ...]:
    """Which tests of a layer run: by its marks, or all of them."""
    if not layer.proofs:
        return ()
    return ("-m", "proof" if proofs else "not proof")


def pytest_of(layer: Layer, python: str, folder: Path, options: Sequence[str]) -> tuple[int, ET.Element]:
    """Run tests of a layer: how pytest ended, and its report.

    Args:
        layer: whose tests.
        python: of the environment they run in.
        folder: for the report, and for pytest's memory of what failed.
        options: which of them, and how.
    """
    report = folder / "junit.xml"
    report.unlink(missing_ok=True)
    command = [python, "-m", "pytest", f"tests/{layer.name}", "-q", f"--junitxml={report}"]
    command += ["--durations=12", "-o", f"cache_dir={folder / 'cache'}", *options]
    command += ["-o", "tmp_path_retention_policy=failed"]
    code = subprocess.run(command, cwd=ROOT, env=environment_of(layer), check=False).returncode
    return code, read_report(report)


def run_again(layer: Layer, python: str, folder: Path, first: ET.Element, extra: Sequence[str]) -> Count:
    """Run what failed once more, by itself: the layer's count, with what passed now as flaky.

    A machine that is busy with something else fails a test of time for no fault of the program; what fails
    alone has failed.
    """
    failed, count = failed_tests(first), read_counts(first)
    if not 0 < len(failed) <= MOST_AGAIN:
        return count
    print(f"\n=== {layer.name}: again, by themselves: {', '.join(failed)}", flush=True)
    code, second = pytest_of(layer, python, folder, ("--last-failed", "-p", "no:xdist", *extra))
    still = failed_tests(second)
    passed = read_counts(second).passed
    if code not in (0, 1) or passed + len(still) < len(failed):
        return count
    count.flaky = tuple(one for one in failed if one not in still)
    count.failed, count.passed = len(still), count.passed + len(failed) - len(still)
    return count


def run(layer: Layer, python: str, extra: Sequence[str], *, again: bool = False) -> Count:
    """Prepare and run one layer; with `again`, what failed a second time by itself."""
    started = time.monotonic()
    print(f"\n=== {layer.name}", flush=True)
    for preparation in layer.before:
        if subprocess.run(preparation, cwd=ROOT, check=False).returncode:
            print(f"{layer.name}: {' '.join(preparation)} failed", flush=True)
            return Count(failed=1, seconds=time.monotonic() - started)
    with tempfile.TemporaryDirectory() as folder:
        code, report = pytest_of(layer, python, Path(folder), (*layer.options, *extra))
        count = read_counts(report)
        if again and code == 1:
            count = run_again(layer, python, Path(folder), report, extra)
            code = 1 if count.failed else 0
    if code and not count.failed:
        count.failed = 1
    if not count.passed and not count.failed:
        print(f"{layer.name}: nothing ran", flush=True)
        count.failed = 1
    count.seconds = time.monotonic() - started
    return count


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser("hack/test", description="Run the test layers.")
    top.add_argument(
        "layers",
        nargs="*",
        help=f"which of {', '.join(x.name for x in LAYERS)} (default: all but "
        f"{', '.join(x.name for x in LAYERS if x.only_named)} and those that are proofs)",
    )
    top.add_argument("--proofs", action="store_true", help="the long tests in place of the others")
    top.add_argument("-k", metavar="WORD", help="only tests whose name has that word")
    top.add_argument(
        "--again",
        action="store_true",
        help=f"run up to {MOST_AGAIN} failed tests again by themselves; what passes then is told as flaky",
    )
    top.add_argument("-x", action="store_true", help="stop a layer at its first failure")
    return top


def chosen_layers(grammar: argparse.ArgumentParser, names: list[str], proofs: bool = False) -> list[Layer]:
    """Those named, in the order in which they run; where none is, all that run without being named.

    An unknown name ends the program, and so does a layer without proofs where those are asked for.
    """
    unknown = set(names) - {layer.name for layer in LAYERS}
    if unknown:
        grammar.error(f"no such layer: {', '.join(sorted(unknown))}")
    if proofs:
        without = [x.name for x in LAYERS if x.name in names and not (x.proofs or x.only_proofs)]
        if without:
            grammar.error(f"no test is marked proof in {', '.join(without)}: run it without --proofs")
        return [x for x in LAYERS if (x.proofs or x.only_proofs) and (x.name in names or not names)]
    return [x for x in LAYERS if (x.name in names if names else not (x.only_named or x.only_proofs))]


def table(counts: dict[str, Count]) -> str:
    """What every layer ran, and the totals."""
    rows = ["layer         passed  failed  skipped  seconds"]
    rows += [
        f"{name:12} {c.passed:7} {c.failed:7} {c.skipped:8} {c.seconds:8.0f}" for name, c in counts.items()
    ]
    passed, failed = (sum(getattr(c, kind) for c in counts.values()) for kind in ("passed", "failed"))
    flaky = [f"flaky: {one} failed, and passed by itself" for c in counts.values() for one in c.flaky]
    return "\n".join([*rows, "", *flaky, f"{passed} passed, {failed} failed"])


def main() -> int:
    """All layers, or those named."""
    grammar = parser()
    options = grammar.parse_args()
    chosen = chosen_layers(grammar, options.layers, options.proofs)
    extra = (["-k", options.k] if options.k else []) + (["-x"] if options.x else [])
    found = subprocess.run(["hack/venv"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    python = found.stdout.strip() + "/bin/python"
    # what ran before the tests runs after them
    borrowed = not any(layer.cluster for layer in chosen) or cluster_is_up()
    counts = {
        layer.name: run(layer, python, [*extra, *marks(layer, options.proofs)], again=options.again)
        for layer in chosen
    }
    if not borrowed:
        subprocess.run(["hack/cluster", "down"], cwd=ROOT, check=False)
    print("\n" + table(counts), flush=True)
    return 1 if any(count.failed for count in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
