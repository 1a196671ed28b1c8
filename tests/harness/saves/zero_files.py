"""Files of a checkpoint as ranks of ZeRO 1 write them, without ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from deepspeed.utils.tensor_fragment import fragment_address


def written(root: Path, matrix: torch.Tensor, *, moment: Any = None) -> Path:
    """Two ranks of ZeRO 1 with one matrix, each its half."""
    folder = root / "step-5" / "state"
    folder.mkdir(parents=True)
    model = {"param_shapes": [{"a.weight": matrix.shape}], "global_steps": 5}
    torch.save(model, folder / "mp_rank_00_model_states.pt")
    for rank, half in enumerate(matrix.flatten().chunk(2)):
        moments = {"exp_avg": half * 10 if moment is None else moment, "step": torch.tensor(5.0)}
        state = {
            "base_optimizer_state": {"state": {0: moments}, "param_groups": [{"lr": 0.1}]},
            "single_partition_of_fp32_groups": [half.clone()],
            "param_slice_mappings": [{"a.weight": fragment_address(numel=half.numel(), start=0)}],
        }
        path = folder / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
        torch.save({"optimizer_state_dict": state}, path)
    return folder
