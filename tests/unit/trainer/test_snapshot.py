"""What a checkpoint's files have of a model that is frozen in part."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llmtrain_trainer.checkpoint.snapshot import SnapshotEngine


class Tied(torch.nn.Module):
    """A model whose frozen embeddings are also its head, as of many families, beside one trained matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = torch.nn.Embedding(8, 4)
        self.trained = torch.nn.Linear(4, 4, bias=False)
        self.head = torch.nn.Linear(4, 8, bias=False)
        self.head.weight = self.embeddings.weight
        self.head.weight.requires_grad_(False)
        self.register_buffer("scale", torch.ones(1))


def saved(folder: Path, *, leave_out_weights: bool = False) -> dict[str, Any]:
    """The model's part of a file that DeepSpeed asks to save."""
    model, engine = Tied(), SnapshotEngine()
    state = model.state_dict()
    # as DeepSpeed does when it is asked to leave out what is frozen
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            del state[name]
    assert "head.weight" in state
    engine.begin(folder, hold=False)
    engine.attach(SimpleNamespace(module=model), leave_out_weights=leave_out_weights)
    engine.save({"module": state, "buffer_names": ["scale"], "steps": 3}, str(folder / "state.pt"))
    assert engine.error is None
    found = engine.load(str(folder / "state.pt"))
    assert found["steps"] == 3
    return dict(found["module"])


@pytest.mark.parametrize(("left_out", "names"), [(False, ["scale", "trained.weight"]), (True, ["scale"])])
def test_what_is_frozen_is_in_no_file_under_any_name(
    tmp_path: Path, left_out: bool, names: list[str]
) -> None:
    assert sorted(saved(tmp_path, leave_out_weights=left_out)) == names


def test_a_file_without_a_model_is_written_as_it_is(tmp_path: Path) -> None:
    engine = SnapshotEngine()
    engine.begin(tmp_path, hold=False)
    engine.save({"optimizer_state_dict": {"step": 1}}, str(tmp_path / "optimizer.pt"))
    assert engine.load(str(tmp_path / "optimizer.pt")) == {"optimizer_state_dict": {"step": 1}}
