"""A page of the site that would load something from elsewhere is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from docsite.offline import in_css, in_html, main


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://x.example/a.js"></script>',
        '<link rel="stylesheet" href="//x.example/a.css">',
        '<link rel="preconnect" href="HTTPS://x.example">',
        '<img alt="" src="http://x.example/a.png">',
        "<style>@import 'https://x.example/a.css';</style>",
        "<style>@font-face { src: url(//x.example/a.woff2) }</style>",
        '<p style="background: url(https://x.example/a.png)">a</p>',
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(text: str) -> None:
    assert len(in_html(f"<html><body>{text}</body></html>")) == 1


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://x.example">a link is followed by a reader, or not</a>',
        '<script src="_static/a.js"></script><link href="../_static/a.css">',
        '<img src="data:image/png;base64,AA//">',
        "<p>https://x.example</p>",
    ],
)
def test_what_is_not_is_not(text: str) -> None:
    assert not in_html(text)


def test_style_sheets_are_read() -> None:
    assert in_css('a { background: url("https://x.example/a.png") } b { background: url(a.png) }') == [
        "https://x.example/a.png"
    ]


def test_a_site_that_loads_something_fails_with_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1, "a site without a page is no site"
    (tmp_path / "a.html").write_text("<p>fine</p>")
    assert main([str(tmp_path)]) == 0
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.html").write_text('<script src="//x.example/a.js"></script>')
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == "sub/b.html: loads //x.example/a.js\n"
