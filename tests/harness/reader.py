"""An exported folder read by a program that has nothing of ours, and no DeepSpeed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_READER = """
import sys, math, numpy, torch, transformers
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
rows = torch.from_numpy(numpy.load(sys.argv[2]).astype("int64"))
with torch.no_grad():
    nll = sum(float(model(input_ids=r[None], labels=r[None]).loss) * (len(r) - 1) for r in rows)
assert "deepspeed" not in sys.modules and "llmtrain_trainer" not in sys.modules
assert tokenizer.decode(tokenizer("def f(x):")["input_ids"]) == "def f(x):"
print(math.exp(nll / (rows.shape[0] * (rows.shape[1] - 1))))
"""


def perplexity_of(export: Path, held_out: Path) -> float:
    """Perplexity of a causal model's folder on [sequences, length] token ids."""
    command = [sys.executable, "-W", "ignore", "-c", _READER, str(export), str(held_out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])
