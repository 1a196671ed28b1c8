"""``docs/layouts.md``: what `proven.json` says, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..layouts.proven import SELECTIVE, adapted, chunked, compiled, recomputed, table

_HEAD = """# Parallel layouts

Generated from `crds/llmtrain_api/layouts/proven.json` by `make generate`; `make layouts` makes that table.

A layout may be asked for when its rows are equal to one fp64 process: five steps of SGD without clipping
(which show the scale of every gradient) and five of AdamW with active clipping, from the same weights and
batches, with a batch that does not divide evenly. Per tensor ‖g − r‖ ≤ 1e-5 · max(‖r‖, 1e-3 · ‖r of all
tensors‖), weights within 1e-4 of the way they moved, gradient norm within 1e-5, losses within 1e-6. A bf16
or fp16 row may be 1.5 times as far from fp64 as one process of that precision is. What a GPU
computed: [performance.md](performance.md). Everything else is refused.

| in the manifest | means |
|---|---|
| `parallelism.tensor` | ranks that share each matrix (DeepSpeed AutoTP) |
| `parallelism.pipeline` | stages of consecutive layers (DeepSpeed PipelineModule); ZeRO 1 |
| `parallelism.sequence` | ranks that share each sequence (DeepSpeed Ulysses) |
| `training.zeroStage` | what the data-parallel ranks shard; unset: the lowest stage that fits |
| `training.compile` | each transformer layer by torch.compile; for the layouts under "Equal, compiled" |
| `training.activationCheckpointingMode` | `selective`: layers keep what matrix products and attention made |
| `training.chunkedLogits` | logits of a few tokens at a time, never of a whole pass |
| `model.adapter` | low-rank adapters beside frozen weights; for the layouts under "Equal, with an adapter" |

World size = nodes x processes = tensor x pipeline x sequence x data-parallel ranks. ZeRO 0 shards nothing and
is for one rank; with more ranks it means 1.
"""


def page() -> str:
    """The whole page."""
    rows = table()
    equal = [row for row in rows if row["verdict"] == "equal"]
    again = [row for row in equal if recomputed(row) == SELECTIVE]
    few = [row for row in equal if chunked(row)]
    equal = [row for row in equal if row not in again and row not in few]
    plain = [row for row in equal if not compiled(row) and not adapted(row)]
    parts = [_HEAD, "\n## Equal\n", _equal(plain)]
    parts += ["\n## Equal, compiled\n", _equal([row for row in equal if compiled(row)])]
    parts += ["\n## Equal, with an adapter\n", _equal([row for row in equal if adapted(row)])]
    parts += ["\n## Equal, with selective activation checkpointing\n", _equal(again)]
    parts += ["\n## Equal, with chunked logits\n", _equal(few)]
    parts += ["\n## Refused\n", _refused(rows)]
    return "\n".join(parts)


def _equal(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| family | layout | ZeRO | rows | packing | worst gradient error, fp32 | one fp32 process | also |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for family, layout in dict.fromkeys((row["family"], row["layout"]) for row in rows):
        proofs = [row for row in rows if (row["family"], row["layout"]) == (family, layout)]
        exact = [row for row in proofs if row["precision"] == "fp32"]
        stages = ", ".join(str(stage) for stage in sorted({row["zero"] for row in proofs}))
        packing = ", ".join(sorted({row["packing"] for row in proofs}))
        worst, alone = (_most(exact, name) for name in ("worstError", "oneProcess"))
        half = ", ".join(sorted({row["precision"] for row in proofs} - {"fp32"}))
        lines.append(
            f"| {family} | {layout} | {stages} | {len(proofs)} | {packing} | {worst} | {alone} | {half} |"
        )
    return "\n".join(lines) + "\n"


def _most(rows: list[dict[str, Any]], name: str) -> str:
    return f"{max((row[name] for row in rows), default=0.0):.1e}"


def _refused(rows: Iterable[dict[str, Any]]) -> str:
    lines = ["| family | layout | why | what is seen when it is tried |", "|---|---|---|---|"]
    for row in rows:
        if row["verdict"] == "refused":
            options = f" zero{row['zero']}" if row["zero"] > 1 else ""
            options += " compiled" if compiled(row) else ""
            options += f" {SELECTIVE}" if recomputed(row) == SELECTIVE else ""
            options += " adapter" if adapted(row) else ""
            options += " documents" if row["packing"] == "documents" else ""
            seen = row["seen"].replace("|", "\\|")
            lines.append(f"| {row['family']} | {row['layout']}{options} | {row['reason']} | {seen} |")
    return "\n".join(lines) + "\n"
