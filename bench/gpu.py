"""``python -m bench.gpu``: what only a GPU can show, in the order of its worth.

Each case is a process of its own, forked from one that has imported all, with a time limit of its own, and
writes its lines to FOLDER/gpu.jsonl at once: a case that hangs or dies costs itself alone. Cases of one group
run side by side, as they tell numbers and not times. ``--tiny`` runs all on a machine without a GPU: it shows
that each case works, not what a GPU does.

    PYTHONPATH=crds:operator:trainer_image:hack:tests python -m bench.gpu --out results
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

# asking for GPUs must not initialize CUDA, which does not survive a fork
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
BEGAN = time.monotonic()

from bench.gpucases.runner import Case, Run  # noqa: E402


def cases(*, tiny: bool) -> list[list[Case]]:
    """Groups of cases, the most valuable ones first."""
    from bench.gpucases import environment, fp8, job, memory, numbers, packed, saving, speed

    families = ["llama"] if tiny else numbers.FAMILIES
    fp32, bf16, fp16 = (
        [Case(f"{precision} {one}", 100, numbers.rows, (one, precision)) for one in families]
        for precision in ("fp32", "bf16", "fp16")
    )
    half = [Case("not finite", 120, numbers.not_finite), Case("loss scale", 60, numbers.loss_scale)]
    first = [Case("environment", 60, environment.look), Case("first steps", 60, environment.first_steps)]
    imports = Case("imports", 60, environment.imports)
    sparing = Case("sparing llama", 120, numbers.sparing)
    whole, save = Case("job", 170, job.killed_and_resumed), Case("save", 90, saving.stalls)
    speeds, memories = speed.cases(tiny=tiny), memory.cases(tiny=tiny)
    apart, eight = packed.cases(tiny=tiny), fp8.cases(tiny=tiny)
    timed = [*speeds[:4], *apart, *memories[:5], save, *speeds[4:], *eight, *memories[5:]]
    if tiny:
        return [[*first, imports], [whole, *fp32, *bf16, *fp16, *half, sparing, *timed]]
    compiled = Case("compiled llama", 120, numbers.compiled, ("llama",))
    return [
        *([one] for one in first),
        [*fp32, whole, compiled, sparing],
        [*bf16, *half],
        fp16,
        *([one] for one in timed),
        [imports],
    ]


def main() -> int:
    """Run the cases that are asked for; 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of gpu.jsonl and logs")
    parser.add_argument("--tiny", action="store_true", help="on a CPU: shows that each case runs")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose name begins with one of these")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no case after so many")
    options = parser.parse_args()
    if options.tiny:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    groups = cases(tiny=options.tiny)
    run = Run(options.out, tiny=options.tiny, until=BEGAN + options.seconds)
    run.say("imports", {"seconds": round(time.monotonic() - BEGAN, 2)})
    for group in groups:
        chosen = [one for one in group if not options.only or one.name.startswith(tuple(options.only))]
        run.group(chosen)
    run.say("end", {"seconds": round(time.monotonic() - BEGAN, 2), "failed": run.failed})
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
