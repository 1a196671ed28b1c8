"""The verb that looks at a model: facts in the termination message, or one sentence that names the fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.builders import QUICK
from harness.children import environment
from harness.hub import hub
from harness.models.raw import tensor, write

from llmtrain_api import ModelFacts
from llmtrain_api.messages import TERMINATION_LIMIT
from llmtrain_api.schema.model_facts import FACTS_LIMIT

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 30,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
TOKENIZER = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"content": "<s>"}, {"content": "a"}]}


def shapes(config: dict[str, Any]) -> dict[str, list[int]]:
    """The tensors of a Llama, written down beside the product's own idea of them."""
    hidden, width, entries = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    key = hidden * config["num_key_value_heads"] // config["num_attention_heads"]
    found = {"model.embed_tokens.weight": [entries, hidden], "lm_head.weight": [entries, hidden]}
    found["model.norm.weight"] = [hidden]
    block = {
        "self_attn.q_proj": [hidden, hidden],
        "self_attn.k_proj": [key, hidden],
        "self_attn.v_proj": [key, hidden],
        "self_attn.o_proj": [hidden, hidden],
        "mlp.gate_proj": [width, hidden],
        "mlp.up_proj": [width, hidden],
        "mlp.down_proj": [hidden, width],
        "input_layernorm": [hidden],
        "post_attention_layernorm": [hidden],
    }
    for layer in range(config["num_hidden_layers"]):
        found |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in block.items()}
    return found


def folder_of(folder: Path, config: dict[str, Any] = LLAMA, dtype: str = "BF16", size: int = 2) -> Path:
    """A model whose weights are a hole in the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    at, tensors = 0, {}
    for name, shape in shapes(config).items():
        stop = at + size * shape[0] * (shape[1] if len(shape) > 1 else 1)
        tensors[name], at = tensor(at, stop, list(shape), dtype), stop
    write(folder / "model.safetensors", tensors, at)
    return folder


MEASURED = """
import json, resource, subprocess, sys
code = subprocess.call([sys.executable, *sys.argv[2:]])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(f"{sys.argv[1]}/used", "w") as file:
    json.dump([used.ru_maxrss, used.ru_utime], file)
sys.exit(code)
"""
"""Runs Python and tells what that alone has used: a test's own process counts all that it ever ran."""


def inspected(work: Path, name: str, base: Path | None, **env: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, termination message and the error stream of the verb."""
    work.mkdir(parents=True, exist_ok=True)
    spec = QUICK | {"model": {"name": name}}
    (work / "job.json").write_text(json.dumps({"spec": spec} | ({"base": str(base)} if base else {})))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            MEASURED,
            str(work),
            "-m",
            "llmtrain_trainer",
            "inspect",
            str(work / "job.json"),
        ],
        env=environment(LLMTRAIN_TERMINATION_LOG=str(work / "end"), HF_HUB_OFFLINE="1", **env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    content = (work / "end").read_bytes()
    assert len(content) <= TERMINATION_LIMIT
    return done.returncode, json.loads(content), done.stderr


def test_a_model_of_130_gb_is_known_after_kilobytes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model", LLAMA | {"num_hidden_layers": 76})
    assert (folder / "model.safetensors").stat().st_size > 100 << 30
    code, end, said = inspected(tmp_path / "work", f"file://{folder}", folder)
    assert code == 0, said
    memory, seconds = json.loads((tmp_path / "work/used").read_text())
    facts = ModelFacts.model_validate(end["facts"])
    assert facts.weight_bytes == (folder / "model.safetensors").stat().st_size - _header(folder)
    assert facts.shape.parameters * 2 == facts.weight_bytes
    assert facts.stored == "BF16"
    assert facts.tokenizer is not None
    assert (facts.tokenizer.vocabulary, facts.tokenizer.chat_template) == (3, True)
    assert len(json.dumps(end["facts"])) <= FACTS_LIMIT
    assert memory < 1 << 20, "KiB: it has not read the weights"
    assert seconds < 30, "CPU seconds with all imports, on any machine"
    assert _header(folder) < 1 << 20, "what was read of the weights"


def _header(folder: Path) -> int:
    with (folder / "model.safetensors").open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


def test_the_verb_loads_no_torch(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model", LLAMA | {"num_hidden_layers": 2})
    (tmp_path / "job.json").write_text(
        json.dumps({"spec": QUICK | {"model": {"name": f"file://{folder}"}}, "base": str(folder)})
    )
    program = (
        "import sys; from llmtrain_trainer.__main__ import main; "
        f"assert main(['inspect', {str(tmp_path / 'job.json')!r}]) == 0; "
        "assert not {'torch', 'transformers', 'deepspeed'} & set(sys.modules)"
    )
    env = environment(LLMTRAIN_TERMINATION_LOG=str(tmp_path / "end"))
    subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, timeout=120)


def config(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(SMALL | changes))


SMALL = LLAMA | {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "vocab_size": 300}
WRONG: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no folder": (lambda f: f.rename(f.parent / "away"), "is no folder that can be read", "config.json"),
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json", "Hugging Face"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json", "save_pretrained"),
    "a torn config": (lambda f: (f / "config.json").write_text("{"), "config.json is not readable", "again"),
    "code of its own": (
        config(architectures=["OwnForCausalLM"], model_type="own", auto_map={"AutoModel": "own.Own"}),
        "needs code of its own repository (auto_map",
        "whose architecture transformers has",
    ),
    "an unknown architecture": (config(architectures=["Xyz"], model_type="x"), "'Xyz' is not one", "another"),
    "quantised": (config(quantization_config={"bits": 4}), "are quantised", "another model"),
    "weights of another size": (config(num_hidden_layers=3), "they hold 2 blocks", "another model"),
    "half a file": (
        lambda f: os.truncate(f / "model.safetensors", (f / "model.safetensors").stat().st_size - 1),
        "it was not copied whole",
        "copy or download the model again",
    ),
    "pickles": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "pickles can run code",
        "save_pretrained",
    ),
}


@pytest.mark.parametrize(("breaks", "says", "fix"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_trained_is_refused_for_good(
    tmp_path: Path, breaks: Callable[[Path], object], says: str, fix: str
) -> None:
    from llmtrain_api import parse_spec
    from llmtrain_trainer.errors import ConfigError
    from llmtrain_trainer.pretrained.inspect import inspect

    folder = folder_of(tmp_path / "model", SMALL)
    breaks(folder)
    spec = parse_spec(QUICK | {"model": {"name": f"file://{folder}"}}, strict=True)
    with pytest.raises(ConfigError) as caught:
        inspect(spec, str(folder))
    assert says in str(caught.value)
    assert fix in caught.value.hint
    assert str(caught.value).startswith(f"spec.model.name file://{folder}")


def test_a_refusal_is_in_the_termination_message(tmp_path: Path) -> None:
    code, end, said = inspected(tmp_path / "work", f"file://{tmp_path}/none", tmp_path / "none")
    assert code == 78
    assert (end["outcome"], end["failureClass"]) == ("Failed", "ConfigError")
    assert "is no folder that can be read" in end["message"]
    assert end["hint"]
    assert "Traceback" not in said


def test_a_model_of_the_hub_is_pinned_and_looked_at_by_ranges(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model", SMALL)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with hub() as server:
        repository = server.repository("models/owner/small", files, token="hf_secret")
        env = {"MODEL_HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}
        code, end, said = inspected(tmp_path / "a", "owner/small", None, **env, MODEL_HF_TOKEN="hf_secret")
        assert code == 0, said
        assert end["facts"]["revision"] == repository.branches["main"]
        code, end, said = inspected(tmp_path / "b", "owner/small", None, **env)
        assert code == 78
        assert "HF_TOKEN" in end["hint"]
        server.stop()
        code, end, said = inspected(tmp_path / "c", "owner/small", None, **env)
        assert (code, end["failureClass"]) == (1, "Infrastructure")
        assert "hf_secret" not in said + json.dumps(end)
