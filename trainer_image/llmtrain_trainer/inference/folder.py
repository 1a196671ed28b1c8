"""A folder that somebody wants text from: found, checked and opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from ..errors import ConfigError
from ..files import read_json
from .routed import Routed

EXPORT = "export"
CONFIG = "config.json"
ADAPTER = "adapter_config.json"
WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""How architectures end whose models write text."""
OTHERS = {
    "ForMaskedLM": transformers.AutoModelForMaskedLM,
    "ForSequenceClassification": transformers.AutoModelForSequenceClassification,
    "ForTokenClassification": transformers.AutoModelForTokenClassification,
    "ForQuestionAnswering": transformers.AutoModelForQuestionAnswering,
}
"""How the others end, and what opens them."""


@dataclass(frozen=True)
class Opened:
    """A model that can write.

    Attributes:
        model: on its device, in evaluation mode.
        tokenizer: its tokenizer.
        room: tokens that prompt and answer may have together.
        processor: makes inputs of images; None of a model that reads text alone.
    """

    model: Any
    tokenizer: Any
    room: int
    processor: Any = None


def located(folder: Path) -> Path:
    """The model's folder: this one, or the export of the job whose output this is.

    Raises:
        ConfigError: neither is one.
    """
    for place in (folder, folder / EXPORT):
        if (place / CONFIG).is_file() or (place / ADAPTER).is_file():
            return place
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", "name the export folder of a job, or its output folder")
    unfinished = (folder / "checkpoints").is_dir()
    raise ConfigError(
        f"{folder} has no {CONFIG}" + (", and no export yet: the job has not ended" if unfinished else ""),
        "name the export folder of a job (OUTPUT/export) or another Hugging Face folder",
    )


def device_of(name: str | None) -> torch.device:
    """The device asked for; by default a GPU where there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def opened(folder: Path, device: torch.device, *, writes: bool = True) -> Opened:
    """Open a folder: bf16 on a GPU, fp32 elsewhere. No code of the folder runs, and no pickle is opened.

    Args:
        folder: of a model, or the output of a job.
        device: where it is computed.
        writes: whether only a model will do that writes text.

    Raises:
        ConfigError: there is no such model.
    """
    place = located(folder)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = (_adapted if (place / ADAPTER).is_file() else _plain)(place, dtype, writes=writes)
    return _ready(model, place, device)


def opened_adapter(found: Routed, device: torch.device) -> Opened:
    """Open one adapter of many over their base, as `opened` opens a folder.

    Args:
        found: where its parts are.
        device: where it is computed.

    Raises:
        ConfigError: the base cannot be opened.
    """
    import peft

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    base = _plain(found.base, dtype, writes=True)
    model = peft.PeftModel.from_pretrained(base, found.adapter, local_files_only=True)
    return _ready(model, found.words, device)


def _ready(model: Any, place: Path, device: torch.device) -> Opened:
    """A model on its device, with the tokenizer of a folder."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, local_files_only=True)
    text = model.config.get_text_config(decoder=True)
    room = int(getattr(text, "max_position_embeddings", 0) or tokenizer.model_max_length)
    processor = None
    if sees_images(model.config):
        processor = transformers.AutoProcessor.from_pretrained(place, local_files_only=True, backend="pil")
    return Opened(model.to(device).eval(), tokenizer, room, processor)


def sees_images(config: Any) -> bool:
    """Whether a configuration is of a model that reads images beside a text."""
    return getattr(config, "vision_config", None) is not None


def _plain(place: Path, dtype: torch.dtype, *, writes: bool) -> Any:
    config = read_json(place / CONFIG) or {}
    names = [str(name) for name in config.get("architectures") or ["a model of no known architecture"]]
    other = None if writes else next((head for end, head in OTHERS.items() if names[0].endswith(end)), None)
    if other is None and not names[0].endswith(WRITERS):
        does = "fills gaps or sorts texts, and writes none" if writes else "nobody knows here"
        raise ConfigError(
            f"{place} holds {names[0]}, which {does}",
            "use a causal or an encoder-decoder model" + ("" if writes else f", or one {', '.join(OTHERS)}"),
        )
    seq2seq = bool(config.get("is_encoder_decoder"))
    writer = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    writer = transformers.AutoModelForImageTextToText if config.get("vision_config") else writer
    try:
        return (other or writer).from_pretrained(
            place, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{place} cannot be opened: {str(error).splitlines()[0]}") from error


def _adapted(place: Path, dtype: torch.dtype, *, writes: bool) -> Any:
    """The base that an adapter names, with the adapter."""
    import peft

    base = Path(str((read_json(place / ADAPTER) or {}).get("base_model_name_or_path") or ""))
    if not (base / CONFIG).is_file():
        raise ConfigError(
            f"{place} is an adapter over {base}, which is not here",
            "put the base model there, or use the merged export",
        )
    return peft.PeftModel.from_pretrained(_plain(base, dtype, writes=writes), place, local_files_only=True)
