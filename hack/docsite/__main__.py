"""``python -m docsite``: write the pages that come from the navigation and from the examples."""

from __future__ import annotations

from . import gallery, learnt, metrics, navigation, status

PAGES = {
    gallery.PAGE: gallery.page,
    learnt.PAGE: learnt.page,
    metrics.PAGE: metrics.page,
    status.PAGE: status.page,
    navigation.INDEX: navigation.index,
    navigation.LLMS: navigation.llms,
}
"""Each generated file, and what it is to hold. The index comes last: it asks the others for their titles."""


def main() -> None:
    """Write all of them and say so."""
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")
        print(f"page: {path.relative_to(navigation.ROOT)}")


if __name__ == "__main__":
    main()
