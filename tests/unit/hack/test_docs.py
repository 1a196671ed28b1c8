"""The documents hang together: links lead somewhere, pages are in the menu, what is generated is new."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from docsite import gallery, markdown, metrics, navigation
from docsite.__main__ import PAGES
from docsite.navigation import INDEX, LLMS, ROOT

EVERY = [*sorted(navigation.pages()), *(path.relative_to(ROOT).as_posix() for path in (INDEX, LLMS))]


def broken(file: Path, page: markdown.Page) -> list[str]:
    """What links of this page that lead to nothing are wrong with."""
    found = []
    for link in page.links:
        path, _, anchor = unquote(link.target).partition("#")
        if ":" in path.partition("/")[0]:
            continue
        target = (file.parent / path).resolve() if path else file
        if not target.is_file():
            found.append(f"{file.name}:{link.line}: {link.target}: no such file")
        elif anchor and anchor not in markdown.read(target).anchors:
            found.append(f"{file.name}:{link.line}: {link.target}: no such heading")
    return found


@pytest.mark.parametrize("name", EVERY)
def test_every_link_leads_somewhere(name: str) -> None:
    assert not broken(ROOT / name, markdown.read(ROOT / name))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a](docs/nothing.md)", "no such file"),
        ("[a](docs)", "no such file"),
        ("[a](docs/glossary.md#nothing)", "no such heading"),
        ("[a](#nothing)", "no such heading"),
        ('<img src="docs/images/nothing.png">', "no such file"),
        ("![a](docs/images/nothing.png)", "no such file"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(text: str, told: str) -> None:
    page = markdown.parse(f"# Title\n\n{text}\n")
    [mistake] = broken(ROOT / "README.md", page)
    assert told in mistake
    assert mistake.startswith("README.md:3: ")


def test_links_that_lead_somewhere_are_taken() -> None:
    page = markdown.parse(
        "# A `b`: c/d\n\n[a](#glossary) [b](https://x.example/#y) [c](docs/web.md#changing-it)\n"
    )
    assert page.headings[0].anchor == "a-b-cd"
    assert not broken(ROOT / "docs" / "glossary.md", markdown.parse("[a](web.md#changing-it)"))


def test_headings_of_one_name_have_anchors_of_their_own() -> None:
    assert [h.anchor for h in markdown.parse("# Rules\n\n# Rules\n\n## Rules\n").headings] == [
        "rules",
        "rules-1",
        "rules-2",
    ]


def test_what_is_no_text_is_no_link() -> None:
    assert not markdown.parse("```\n[a](nothing.md)\n```\n\n`[b](nothing.md)`\n").links


def test_every_page_is_in_the_menu_once() -> None:
    named = [page.path for section in navigation.sections() for page in section.pages]
    assert sorted(named) == sorted(navigation.pages()), "docs/navigation.yaml"


def test_every_page_of_the_menu_has_a_title_and_says_what_it_is_for() -> None:
    for section in navigation.sections():
        for page in section.pages:
            assert page.title, page.path
            assert page.about, page.path


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_documents_are_up_to_date(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run `make generate`"


def test_every_example_is_in_the_gallery() -> None:
    shown = {Path(link.target).name for link in markdown.read(gallery.PAGE).links}
    assert {path.name for path in gallery.FOLDER.glob("*.yaml")} <= shown


def test_an_example_that_does_not_say_what_it_shows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "silent.yaml").write_text("kind: LLMTrainingJob\n")
    with pytest.raises(ValueError, match=r"silent\.yaml: say in a comment"):
        gallery.read_example(tmp_path / "silent.yaml")


def test_every_series_is_in_its_page_with_its_labels() -> None:
    page = metrics.page()
    for registry in (metrics.operator_registry(), *map(metrics.rank_registry, metrics.JOBS)):
        assert all(f"| `{one.name}" in page for one in registry.collect())
    assert "| `llmtrain_job_phase` | gauge | `namespace`, `name`, `phase` |" in page
    assert "| `llmtrain_train_step_seconds_bucket` | histogram |  |" in page
