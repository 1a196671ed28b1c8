"""`hack/import-levels` sees what it is there for."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "hack" / "import-levels"


@pytest.fixture(scope="module")
def levels() -> Any:
    loader = SourceFileLoader("import_levels", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.dont_write_bytecode", True)
        patch.setitem(__import__("sys").modules, loader.name, module)
        loader.exec_module(module)
        yield module


def package(levels: Any, root: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> list[Any]:
    """The imports of a package of these files."""
    monkeypatch.setattr(levels, "ROOT", root)
    folder = root / "some"
    for name, text in {"__init__": "", **files}.items():
        path = folder / f"{name.replace('_in_', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    known = levels.modules_of(folder)
    return [one for module, file in known.items() for one in levels.imports_of(module, file, known)]


def faults(
    levels: Any, found: list[Any], *order: list[str], allowed: frozenset[str] = frozenset()
) -> list[str]:
    return list(levels.faults_of(found, list(order), set(allowed)))


def test_imports_downwards_are_right(levels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = package(
        levels, tmp_path, monkeypatch, top="from . import low\nfrom .low import x", low="import os"
    )
    assert {str(one) for one in found} == {"some.top -> some.low"}
    assert faults(levels, found, ["top"], ["low"]) == []


@pytest.mark.parametrize(
    "text",
    [
        "from .top import x",
        "from . import top",
        "import some.top",
        "from some.top import x",
        "def f():\n    from .top import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .top import x",
    ],
)
def test_an_upward_import_is_named_with_its_line(
    levels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    found = package(levels, tmp_path, monkeypatch, top="x = 1", low=text)
    [fault] = faults(levels, found, ["top"], ["low"])
    line = len(text.splitlines())
    assert fault == f"some/low.py:{line}: some.low -> some.top is upwards: top is above low"
    assert faults(levels, found, ["top"], ["low"], allowed=frozenset({"some.low -> some.top"})) == []


def test_a_circle_of_files_in_one_room_is_named(
    levels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"room_in___init__": "", "room_in_a": "from .b import x", "room_in_b": "from . import a"}
    [fault] = faults(levels, package(levels, tmp_path, monkeypatch, **files), ["room"])
    assert fault in {
        "circle of files: some.room.a -> some.room.b -> some.room.a",
        "circle of files: some.room.b -> some.room.a -> some.room.b",
    }


def test_a_circle_of_rooms_on_one_level_is_named(
    levels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "a_in_one": "from ..b.one import x",
        "a_in_two": "",
        "b_in_one": "x = 1",
        "b_in_two": "from ..a import two",
    }
    [fault] = faults(
        levels,
        package(levels, tmp_path, monkeypatch, a_in___init__="", b_in___init__="", **files),
        ["a", "b"],
    )
    assert fault.startswith("circle of rooms: ")


def test_a_room_without_a_level_is_a_fault(
    levels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = package(levels, tmp_path, monkeypatch, top="from . import low", low="")
    [fault] = faults(levels, found, ["top"])
    assert fault.startswith("room low has no level")
