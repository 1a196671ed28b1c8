"""``python -m llmtrain_api``: write the CRD, the chart's copy of it, and the generated pages of docs."""

from __future__ import annotations

from pathlib import Path

import yaml

from .generate import failures_page, hyperparameters_page, layouts_page, reference_page
from .generate.crd import Schema, custom_resource_definition
from .generate.runtime_crd import RUNTIME_KINDS, runtime_definition
from .generate.sweep_crd import sweep_definition
from .names import CRD_NAME, GROUP, PLURAL, SWEEP_PLURAL

ROOT = Path(__file__).resolve().parents[2]
HEADER = "# Generated from crds/llmtrain_api by `make generate`: change the models, not this file.\n"
PAGES = {
    ROOT / "docs" / "failures.md": failures_page.page,
    ROOT / "docs" / "hyperparameters.md": hyperparameters_page.page,
    ROOT / "docs" / "layouts.md": layouts_page.page,
    ROOT / "docs" / "reference.md": reference_page.page,
}
TEMPLATES = ROOT / "helm" / "llm-training-operator" / "templates"
TARGETS = (
    ROOT / "crds" / f"{GROUP}_{PLURAL}.yaml",
    TEMPLATES / "crd.yaml",
)


def _yaml(crd: Schema, *, for_chart: bool) -> str:
    if not for_chart:
        return HEADER + yaml.safe_dump(crd, sort_keys=False, width=110)
    crd["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    body = yaml.safe_dump(crd, sort_keys=False, width=110)
    return HEADER + "{{- if .Values.crds.enabled }}\n" + body + "{{- end }}\n"


def render(*, for_chart: bool) -> str:
    """The CRD as YAML; the chart's copy is kept when the release is removed and can be switched off."""
    return _yaml(custom_resource_definition(), for_chart=for_chart)


def other_files() -> dict[Path, str]:
    """The CRDs of the runtimes and of sweeps, by file."""
    definitions = {of.plural: runtime_definition(of) for of in RUNTIME_KINDS}
    definitions[SWEEP_PLURAL] = sweep_definition()
    files = {}
    for plural, crd in definitions.items():
        files[ROOT / "crds" / f"{GROUP}_{plural}.yaml"] = _yaml(crd, for_chart=False)
        files[TEMPLATES / f"crd-{plural}.yaml"] = _yaml(crd, for_chart=True)
    return files


def main() -> None:
    """Write all files and say so."""
    for target in TARGETS:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(for_chart="helm" in target.parts))
        print(f"{CRD_NAME}: {target.relative_to(ROOT)} ({target.stat().st_size} bytes)")
    for path, text in other_files().items():
        path.write_text(text)
        print(f"{path.relative_to(ROOT)} ({path.stat().st_size} bytes)")
    for path, page in PAGES.items():
        path.write_text(page())
        print(f"page: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
