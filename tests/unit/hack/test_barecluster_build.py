"""What is built from which module, and when it is built anew."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from barecluster import build, components
from barecluster.console import ClusterError
from barecluster.settings import settings_for
from barecluster.toolchain import GO_VERSION, parse_go_version


@pytest.fixture
def copy(tmp_path: Path) -> build.Module:
    shutil.copytree(build.MODULES / "kubernetes", tmp_path / "kubernetes")
    return build.Module("kubernetes", tmp_path / "kubernetes")


def test_the_key_does_not_depend_on_the_folder(copy: build.Module) -> None:
    assert copy.key == build.module("kubernetes").key


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "tools.go"])
def test_a_changed_source_changes_the_key(copy: build.Module, name: str) -> None:
    before = copy.key
    with (copy.folder / name).open("a") as file:
        file.write("// changed\n")
    assert copy.key != before


def test_kubernetes_is_told_its_version(copy: build.Module) -> None:
    assert "-X k8s.io/component-base/version.gitVersion=v1.37.2" in copy.flags[-1]
    assert "gitVersion" not in build.module("etcd").flags[-1]


@pytest.mark.parametrize("name", build.ALL + build.ON_DEMAND)
def test_every_module_is_complete(name: str) -> None:
    module = build.module(name)
    assert module.programs
    assert all((module.folder / file).stat().st_size for file in ("go.mod", "go.sum"))
    assert len(list(module.folder.glob("*.go"))) == 1, "tools.go or main.go"
    wanted = next(
        line for line in (module.folder / "go.mod").read_text().splitlines() if line.startswith("go ")
    )
    version = parse_go_version(wanted.replace(" ", ""))
    assert version <= parse_go_version(f"go{GO_VERSION}"), "the Go from PyPI must be able to build it"


def test_the_name_server_has_the_plugins_that_its_configuration_names_and_few_more() -> None:
    module = build.module("coredns")
    assert (module.packages, module.programs) == (["."], ["coredns"])
    linked = set(re.findall(r"coredns/plugin/([a-z_]+)", (module.folder / "main.go").read_text()))
    settings = settings_for("demo", {})
    corefiles = components.corefile(settings, "1.1.1.1") + components.corefile(settings, "")
    named = set(re.findall(r"^  ([a-z]+)", corefiles, re.MULTILINE))
    assert named <= linked
    assert len(linked) < 15, "all of CoreDNS takes as long to build as half of Kubernetes"


def test_a_changed_main_program_changes_the_key(tmp_path: Path) -> None:
    shutil.copytree(build.MODULES / "coredns", tmp_path / "coredns")
    own = build.Module("coredns", tmp_path / "coredns")
    before = own.key
    with (own.folder / "main.go").open("a") as file:
        file.write("// changed\n")
    assert own.key != before


def test_what_go_leaves_is_ours_to_remove_unless_the_caller_named_the_place(tmp_path: Path) -> None:
    mine = build.go_caches({}, tmp_path)
    for folder in mine.values():
        Path(folder).mkdir(parents=True)
    assert {str(folder) for folder in build.own_go_caches(mine, tmp_path)} == set(mine.values())
    outside = tmp_path.parent
    theirs = build.go_caches({"GOCACHE": str(outside), "GOMODCACHE": str(outside)}, tmp_path)
    assert build.own_go_caches(theirs, tmp_path) == []


def test_an_unknown_module_is_refused_by_name() -> None:
    with pytest.raises(ClusterError, match="'docker'"):
        build.module("docker")


@pytest.mark.parametrize(
    ("package", "program"),
    [
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("helm.sh/helm/v3/cmd/helm", "helm"),
        ("github.com/coredns/coredns", "coredns"),
    ],
)
def test_a_program_is_named_as_go_names_it(package: str, program: str) -> None:
    assert build.program_name(package) == program


def test_links_follow_a_new_build_and_rename_etcd(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "server").write_text(folder)
        build.link([tmp_path / folder], tmp_path / "bin")
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["etcd"]
    assert (tmp_path / "bin" / "etcd").read_text() == "new"


def test_go_versions_compare_as_numbers() -> None:
    assert parse_go_version("go version go1.26.8 linux/amd64") == (1, 26, 8)
    assert parse_go_version("go version go1.27 linux/arm64") > parse_go_version("go1.26.10")
    assert parse_go_version("no such command") == ()
