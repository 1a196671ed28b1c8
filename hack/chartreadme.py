"""The chart's README: every value with its default, from values.yaml and the comment above each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).resolve().parents[1] / "helm" / "llm-training-operator"
README = CHART / "README.md"
_KEY = re.compile(r"^( *)([A-Za-z]+):")
_COMMENT = re.compile(r"^ *# ?(.*)$")
_INDENT = 2
_HEAD = """# The chart {name}

{description}

Generated from `values.yaml` by `make generate`.

```sh
helm upgrade --install llmtrain {archive} --namespace llmtrain-system --create-namespace
helm test llmtrain --namespace llmtrain-system
```

`helm test` asks the operator whether it is ready. Values are checked against `values.schema.json`: one that
there is not, or of a wrong kind, is refused.

## Profiles

Files for `--values`, in `profiles/` of the chart.

| file | what for |
|---|---|
{profiles}

## Values

| value | default | |
|---|---|---|
{values}
"""


class Value(NamedTuple):
    """A value, or a group of them.

    Attributes:
        about: the comment above it.
        default: None for a group.
    """

    path: str
    about: str
    default: str | None


def values(text: str, schema: dict[str, Any]) -> Iterator[Value]:
    """Every value in the order of the file.

    Args:
        text: of values.yaml.
        schema: of values.schema.json; an object that it leaves open, or refers to, is one value.
    """
    defaults, comment, path = yaml.safe_load(text), [], list[str]()
    inside: str | None = None
    for line in text.splitlines():
        if found := _COMMENT.match(line):
            comment.append(found[1])
        elif key := _KEY.match(line):
            path = [*path[: len(key[1]) // _INDENT], key[2]]
            name = ".".join(path)
            if inside is None or not name.startswith(f"{inside}."):
                default = _at(defaults, path)
                group = isinstance(default, dict) and _is_closed(schema, path)
                inside = None if group else name
                yield Value(name, _joined(comment), None if group else json.dumps(default))
            comment = []


def _joined(comment: list[str]) -> str:
    return " ".join(" ".join(comment).split())


def _at(values: dict[str, Any], path: list[str]) -> Any:
    found: Any = values
    for name in path:
        found = found[name]
    return found


def _is_closed(schema: dict[str, Any], path: list[str]) -> bool:
    """Whether the schema says which values an object has."""
    for name in path:
        schema = schema["properties"][name]
    return schema.get("additionalProperties") is False


def profiles(chart: Path) -> dict[str, str]:
    """Each profile, and what its first lines say."""
    found = {}
    for path in sorted((chart / "profiles").glob("*.yaml")):
        lines = []
        for line in path.read_text().splitlines():
            told = _COMMENT.match(line)
            if told is None:
                break
            lines.append(told[1])
        found[path.name] = _joined(lines)
    return found


def page(chart: Path = CHART) -> str:
    """The whole README."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    rows = [
        f"| `{one.path}` | {'' if one.default is None else f'`{one.default}`'} | {_cell(one.about)} |"
        for one in values((chart / "values.yaml").read_text(), schema)
    ]
    return _HEAD.format(
        name=about["name"],
        description=about["description"],
        archive=f"{about['name']}-{about['version']}.tgz",
        profiles="\n".join(f"| `{name}` | {_cell(text)} |" for name, text in profiles(chart).items()),
        values="\n".join(rows),
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*.", "\\*.")


if __name__ == "__main__":
    README.write_text(page())
    print(f"page: {README.name} of the chart")
