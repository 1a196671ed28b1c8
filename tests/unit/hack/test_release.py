"""`make release`: one commit is the same bytes, what it made works alone, what is not right is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from barecluster.images import NAMES, TAGS
from llmtrain.render.schema import manifest_schema
from releasing import archives, build, images, notes, registry, sbom, source, version
from releasing.__main__ import parser
from releasing.build import make
from releasing.errors import ReleaseError
from releasing.version import ROOT

VERSION = version.version_of(ROOT)
NOT_IN_IT = (
    ".git",
    "build",
    "dist",
    "runs",
    "node_modules",
    "__pycache__",
    ".*_cache",
    "*.egg-info",
    ".hypothesis",
)


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> Path:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "all of it", "--date=2026-01-02T03:04:05Z")
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree as it is now, as a commit of its own."""
    folder = tmp_path_factory.mktemp("checkout") / "repository"
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*NOT_IN_IT))
    git(folder, "init", "-q")
    return commit(folder)


@pytest.fixture(scope="module")
def release(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(checkout, tmp_path_factory.mktemp("releases"), with_site=False)


def test_the_same_commit_is_the_same_bytes(checkout: Path, release: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "-q", str(checkout), str(elsewhere))
    for path in elsewhere.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    before = os.umask(0o077)
    try:
        again = make(elsewhere, tmp_path / "releases", with_site=False)
    finally:
        os.umask(before)
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (release, again))
    assert sorted(first) == sorted(second)
    assert [name for name, data in first.items() if second[name] != data] == []


def test_checksums_hold_and_a_changed_byte_is_seen(release: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(release, copy)
    check = ["sha256sum", "--check", "--strict", archives.SUMS]
    done = subprocess.run(check, cwd=copy, text=True, capture_output=True, check=True)
    assert done.stdout.count(": OK") == len(list(release.iterdir())) - 1
    with (copy / "crds.yaml").open("a") as stream:
        stream.write(" ")
    assert subprocess.run(check, cwd=copy, capture_output=True, check=False).returncode == 1


def test_programs_run_from_the_wheel_alone(release: Path, tmp_path: Path) -> None:
    [wheel] = release.glob("*.whl")
    target = tmp_path / "packages"
    words = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *words, str(wheel)], check=True)
    alone = {k: v for k, v in os.environ.items() if not k.startswith("LLMTRAIN")} | {
        "PYTHONPATH": str(target)
    }

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=alone, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(str(target / "bin" / "llmtrain"), "--version") == f"llmtrain {VERSION}\n"
    assert "submit" in run(str(target / "bin" / "llmtrain"), "--help")
    assert "--trainer-image" in run(str(target / "bin" / "llmtrain-operator"), "--help")
    example = str(ROOT / "examples" / "tiny-llama.yaml")
    assert "tiny-llama" in run(str(target / "bin" / "llmtrain"), "check", example)
    assert (target / "llmtrain" / "web" / "static" / "app.js").exists()
    places = "import llmtrain_api, llmtrain_trainer as t; print(llmtrain_api.__file__, t.__version__)"
    assert run(sys.executable, "-c", places).split() == [
        str(target / "llmtrain_api" / "__init__.py"),
        VERSION,
    ]


def test_the_chart_is_whole_and_begins_with_its_name(release: Path) -> None:
    chart = ROOT / "helm" / "llm-training-operator"
    with tarfile.open(release / f"llm-training-operator-{VERSION}.tgz") as tar:
        names = tar.getnames()
        told = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    files = {path.relative_to(chart.parent).as_posix(): path for path in chart.rglob("*") if path.is_file()}
    assert told == {name: path.read_bytes() for name, path in files.items()}
    assert names[0] == "llm-training-operator/Chart.yaml"


def test_crds_and_schema_are_those_of_the_contract(release: Path) -> None:
    kinds = {one["spec"]["names"]["kind"] for one in yaml.safe_load_all((release / "crds.yaml").read_text())}
    assert len(kinds) == len(list((ROOT / "crds").glob("*.yaml"))) == 4
    assert json.loads((release / "llmtrainingjob.schema.json").read_text()) == json.loads(
        json.dumps(manifest_schema())
    )


def test_the_source_keeps_which_files_are_programs(release: Path) -> None:
    with tarfile.open(release / f"llm-training-operator-{VERSION}-source.tar.gz") as tar:
        assert tar.getmember(f"llm-training-operator-{VERSION}/hack/llmtrain").mode & 0o111
        assert f"llm-training-operator-{VERSION}/build" not in tar.getnames()


def test_notes_are_the_changelogs_and_name_every_file(release: Path) -> None:
    told = (release / "RELEASE_NOTES.md").read_text()
    assert notes.section((ROOT / "CHANGELOG.md").read_text(), VERSION) in told
    listed = set(re.findall(r"^\| `([^`]+)`", told, re.MULTILINE))
    assert listed == {path.name for path in release.iterdir()} - {"RELEASE_NOTES.md", archives.SUMS}


@pytest.mark.parametrize("image", ["operator", "trainer"])
def test_a_bill_has_what_cyclonedx_requires_and_names_every_package(release: Path, image: str) -> None:
    bill = json.loads((release / f"sbom-{image}.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    components = [bill["metadata"]["component"], *bill["components"]]
    assert all(one["type"] and one["name"] and one["licenses"] for one in components)
    references = [one["bom-ref"] for one in components]
    assert len(references) == len(set(references))
    edges = {edge["ref"]: edge["dependsOn"] for edge in bill["dependencies"]}
    assert set(edges) == set(references)
    reached, queue = set(), [references[0]]
    while queue:
        one = queue.pop()
        if one not in reached:
            reached.add(one)
            queue += edges[one]
    assert reached == set(references), "each is there by somebody's wish"
    names = {one["name"] for one in components}
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][image]
    assert {sbom.normal(re.split(r"[<>=\[]", one)[0]) for one in own} <= names
    assert ("torch" in names) == (image == "trainer")
    assert ("preact" in names) == (image == "operator")


def test_a_bill_of_other_versions_than_those_pinned_is_refused() -> None:
    pinned = sbom.pins((ROOT / "constraints.txt").read_text())
    assert sbom.python_parts(["pyyaml>=6"], pinned)
    with pytest.raises(ReleaseError, match=r"pins 1\.0 of pyyaml, and .* is installed: run `make venv`"):
        sbom.python_parts(["pyyaml>=6"], pinned | {"pyyaml": "1.0"})
    with pytest.raises(ReleaseError, match="pins no version of pyyaml"):
        sbom.python_parts(["pyyaml>=6"], {})
    with pytest.raises(ReleaseError, match="no-such-package is required and not installed"):
        sbom.python_parts(["no-such-package"], pinned)


def _changed(folder: Path) -> None:
    (folder / "README.md").write_text("other")


def _new(folder: Path) -> None:
    (folder / "operator" / "left.py").write_text("")


def _unlisted(folder: Path) -> None:
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(f"## {VERSION}\n", "## 0.0.9\n"))
    commit(folder)


def _emptied(folder: Path) -> None:
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION}\n\n## 0.0.9\n\nFirst.\n")
    commit(folder)


def _disagrees(folder: Path) -> None:
    chart = folder / "helm" / "llm-training-operator" / "Chart.yaml"
    chart.write_text(chart.read_text().replace(f"appVersion: {VERSION}", "appVersion: 9.9.9"))
    commit(folder)


def _candidate(folder: Path) -> None:
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace(f'version = "{VERSION}"', 'version = "0.2.0rc1"', 1))
    commit(folder)


def _taken(folder: Path) -> None:
    git(folder, "tag", f"v{VERSION}")
    _new(folder)
    commit(folder)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_changed, r"changes that no commit has \(README.md\): commit or remove them"),
        (_new, r"changes that no commit has \(operator/left.py\)"),
        (_unlisted, rf"CHANGELOG.md has no section {VERSION}: write '## {VERSION}'"),
        (_emptied, rf"section {VERSION} of CHANGELOG.md is empty"),
        (_disagrees, r"Chart.yaml has another version than pyproject.toml: run `make generate`"),
        (_candidate, r"'0.2.0rc1' of pyproject.toml is not MAJOR.MINOR.PATCH"),
        (_taken, rf"v{VERSION} is another commit, [0-9a-f]+: raise the version"),
    ],
)
def test_what_is_not_right_is_refused_in_one_sentence(
    checkout: Path, tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    folder = tmp_path / "spoilt"
    git(tmp_path, "clone", "-q", str(checkout), str(folder))
    spoil(folder)
    old = tmp_path / "releases" / VERSION / "SHA256SUMS"
    old.parent.mkdir(parents=True)
    old.write_text("of before")
    with pytest.raises(ReleaseError, match=sentence) as refused:
        make(folder, tmp_path / "releases", with_site=False)
    assert "\n" not in str(refused.value)
    assert old.read_text() == "of before", "nothing half-made takes its place"


def test_the_same_version_may_be_made_again_from_its_tag(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tagged"
    git(tmp_path, "clone", "-q", str(checkout), str(folder))
    git(folder, "tag", f"v{VERSION}")
    source.check(folder, VERSION)


def test_changes_that_no_version_has_are_seen() -> None:
    assert notes.unreleased("# C\n\n## Unreleased\n\n- a\n\n## 1.0.0\n\nb\n")
    assert not notes.unreleased("# C\n\n## Unreleased\n\n## [1.0.0] - 2026-01-01\n\nb\n")
    assert notes.section("# C\n\n## [1.0.0] - 2026-01-01\n\nb\n", "1.0.0") == "b"


def test_every_file_that_says_the_version_agrees() -> None:
    version.check(ROOT)
    chart = yaml.safe_load((ROOT / "helm" / "llm-training-operator" / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"] == VERSION
    said = subprocess.run(
        ["git", "grep", "-lF", f'"{VERSION}"'], cwd=ROOT, text=True, capture_output=True, check=False
    )
    code = {
        name
        for name in said.stdout.split()
        if name.endswith((".py", ".toml")) and not name.startswith("tests/")
    }
    assert code <= {"pyproject.toml", "crds/llmtrain_api/version.py"}


def test_images_are_named_by_digest_and_none_is_left_out() -> None:
    listing = {TAGS[name]: (f"sha256:{name}", f"sha256:manifest-{name}") for name in NAMES}
    told = json.loads(images.document(listing))["images"]
    assert [one["digest"] for one in told] == [f"sha256:manifest-{name}" for name in NAMES]
    del listing[TAGS["trainer"]]
    with pytest.raises(
        ReleaseError, match=r"there is no image localhost/llmtrain-trainer:dev: run `make images`"
    ):
        images.document(listing)


def test_digests_are_those_of_the_images_as_they_were_built(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another checkout may build its own before the other files are made."""
    told = iter(["ours", "another's"])
    monkeypatch.setattr(images, "built", lambda _: next(told))

    def only(*_: object, **__: object) -> list[build.File]:
        assert images.built(checkout) == "another's"
        return [build.File("images.json", "", build._images)]

    monkeypatch.setattr(build, "files", only)
    made = make(checkout, tmp_path, with_images=True, with_site=False)
    assert (made / "images.json").read_text() == "ours"


def test_make_release_is_this_program() -> None:
    assert "-m releasing $(RELEASE)" in (ROOT / "Makefile").read_text()
    assert parser().parse_args(["--images"]).images
    assert "hack/releasing" in (ROOT / "hack" / "lint").read_text()


def _of_chart(release: Path) -> dict[str, str]:
    with tarfile.open(release / f"llm-training-operator-{VERSION}.tgz") as tar:
        files = {name.partition("/")[2]: tar.extractfile(name) for name in tar.getnames()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def test_a_chart_names_the_images_of_the_registry_that_it_is_made_for(
    checkout: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else of it is another."""
    place = "registry.example.com:5000/ml/training"
    all_files = build.files
    monkeypatch.setattr(
        build, "files", lambda *of, **more: [f for f in all_files(*of, **more) if "chart" in f.about]
    )
    made = make(checkout, tmp_path, with_site=False, in_registry=f"{place}/")
    plain, found = _of_chart(release), _of_chart(made)
    assert {name for name in plain if plain[name] != found[name]} == {"values.yaml", "README.md"}
    values = yaml.safe_load(found["values.yaml"])
    assert values["image"]["repository"] == f"{place}/llmtrain-operator"
    assert values["image"]["tag"] == VERSION
    assert values["trainer"]["image"] == f"{place}/llmtrain-trainer:{VERSION}"
    assert "localhost" not in found["values.yaml"] + found["README.md"]
    before = yaml.safe_load(plain["values.yaml"])
    for one in (before, values):
        one["image"] |= {"repository": "", "tag": ""}
        one["trainer"] |= {"image": ""}
    assert values == before
    told = (made / "RELEASE_NOTES.md").read_text()
    assert f"| `localhost/llmtrain-operator:dev` | `{place}/llmtrain-operator:{VERSION}` |" in told
    assert "## Images" not in (release / "RELEASE_NOTES.md").read_text()


@pytest.mark.parametrize(
    "name", ["https://registry.example.com", "registry.example.com/Team", "a b", "host:"]
)
def test_a_registry_that_names_no_image_is_refused(checkout: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ReleaseError, match=r"is not HOST\[:PORT\]\[/FOLDER...\], such as"):
        make(checkout, tmp_path, with_site=False, in_registry=name)
    assert list(tmp_path.iterdir()) == []


def test_values_that_name_an_image_elsewhere_are_refused() -> None:
    values = (ROOT / "helm" / "llm-training-operator" / "values.yaml").read_text()
    assert registry.named(values, "registry.example.com", VERSION) != values
    with pytest.raises(ReleaseError, match="'tag: dev', which names the registry"):
        registry.named(values.replace("  tag: dev\n", "  tag: latest\n"), "registry.example.com", VERSION)
