"""What a model's own files say of it: from its ``config.json`` and the headers of its weights to facts."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

from pydantic import ValidationError

from .families import FAMILIES, Family, numbers_of
from .families.config import Config, InvalidModel
from .schema.base import changed
from .schema.model_facts import FACTS_LIMIT, ModelFacts, TokenizerFacts
from .shape import ModelShape

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Number formats that weights may be stored in, by the name that safetensors has for them."""
HEADLESS = re.compile(
    r"(.*Model|.*For(PreTraining|SequenceClassification|TokenClassification)|(Bert|Roberta)ForQuestionAnswering)"
)
"""Architectures without the head that a language model has: it is made anew, or tied to what there is."""
BUFFERS = re.compile(r"(.*\.)?(attn\.(masked_)?bias|position_ids|rotary_emb\.inv_freq|final_logits_bias)")
"""Tensors that some files hold and no model learns."""
TIED_COPIES = re.compile(
    r"lm_head\.weight|(model\.)?(en|de)coder\.embed_tokens\.weight|cls\.predictions\.decoder\..*|lm_head\.decoder\..*"
)
"""Names under which files hold a tied tensor once more."""
EMBEDDING = re.compile(r"(.*\.)?(embed_tokens|wte|word_embeddings|shared)\.weight")
IMAGES = re.compile(r"(.*\.)?(vision_tower|multi_modal_projector)\..*")
"""Tensors of what sees images, beside a language model."""
BLOCK = re.compile(r"(?:[^.]+\.){0,4}?(?:layers|h|layer|block)\.(\d{1,8})\..*")


class StoredTensor(NamedTuple):
    """One entry of a safetensors header: its number format, such as ``BF16``, and its shape."""

    dtype: str
    shape: tuple[int, ...]


Headers = Mapping[str, StoredTensor]
"""The tensors of a model's files by name."""


def shape_of_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape of a model with that ``config.json``.

    Raises:
        InvalidModel: its architecture is not known, or a size is missing or out of bounds.
    """
    family = _family(config)
    if config.get("quantization_config"):
        raise InvalidModel("config.json: the weights are quantised (quantization_config); use others")
    fields = family.read(Config(config))
    switches = fields["switches"]
    assert isinstance(switches, set)
    try:
        shape = ModelShape.model_validate(
            fields
            | {"architecture": family.architecture, "switches": tuple(sorted(switches)), "parameters": 0}
        )
        return changed(shape, parameters=numbers_of(family.parts(shape).whole(shape.layers)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidModel(f"config.json: {first['loc'][0]}: {first['msg']}") from None


def facts_of(
    config: Mapping[str, Any],
    headers: Headers | None,
    *,
    revision: str | None = None,
    tokenizer: TokenizerFacts | None = None,
    weights: str | None = None,
) -> ModelFacts:
    """What is known of a model.

    Args:
        config: its parsed ``config.json``.
        headers: of its weights; None where they will be random.
        revision: commit of the hub's repository.
        tokenizer: what is known of its tokenizer.
        weights: digest of what tells the files of its weights from changed ones.

    Raises:
        InvalidModel: it cannot be trained, or its weights are not those of its configuration.
    """
    shape = shape_of_config(config)
    if headers is not None:
        _require_weights_of(config, shape, headers)
    said = {"config": config, "weights": {name: list(one) for name, one in (headers or {}).items()}}
    formats = Counter[str]()
    for one in (headers or {}).values():
        formats[one.dtype] += prod(one.shape) * DTYPE_BYTES.get(one.dtype, 8)
    facts = ModelFacts(
        shape=shape,
        revision=revision,
        stored=formats.most_common(1)[0][0] if formats else None,
        weight_bytes=formats.total() if headers is not None else None,
        tokenizer=tokenizer,
        weights=weights,
        digest=hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest(),
    )
    assert len(json.dumps(facts.to_json())) <= FACTS_LIMIT
    return facts


def _family(config: Mapping[str, Any]) -> Family:
    listed = config.get("architectures")
    names = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    name = names[0][:64] if names else ""
    if name in FAMILIES:
        return FAMILIES[name]
    kind = str(config.get("model_type", ""))[:64]
    same = next((family for family in FAMILIES.values() if family.model_type == kind), None)
    if same is not None and (not name or HEADLESS.fullmatch(name)):
        return same
    raise InvalidModel(
        f"config.json: architecture {name or kind!r} is not one that can be trained; these are: "
        f"{', '.join(sorted(FAMILIES))}"
    )


def _require_weights_of(config: Mapping[str, Any], shape: ModelShape, headers: Headers) -> None:
    """The weights are those that the configuration speaks of.

    Raises:
        InvalidModel: sizes differ, or a number format cannot be trained from.
    """
    kinds = ((name, one.dtype) for name, one in headers.items() if _learnt(name))
    odd = next(((name, kind) for name, kind in kinds if kind not in DTYPE_BYTES), None)
    if odd is not None:
        raise InvalidModel(
            f"the weights: {odd[0][:80]} is stored as {odd[1][:16]}; use weights in one of "
            f"{', '.join(DTYPE_BYTES)}"
        )
    table = next((one.shape for name, one in headers.items() if EMBEDDING.fullmatch(name)), None)
    if table is not None and tuple(table) != (shape.vocabulary, shape.hidden):
        raise InvalidModel(
            f"the weights: the embeddings are {list(table)[:8]}, and config.json says {shape.vocabulary} "
            f"entries of {shape.hidden}"
        )
    text = (name for name in headers if not IMAGES.fullmatch(name))
    blocks = max((int(found[1]) for name in text if (found := BLOCK.fullmatch(name))), default=-1) + 1
    if blocks != shape.layers:
        raise InvalidModel(f"the weights: they hold {blocks} blocks, and config.json says {shape.layers}")
    stored = sum(prod(one.shape) for one in _learnt_once(headers, tied=shape.tied))
    whole = (config.get("architectures") or [""])[0] == shape.architecture
    if whole and stored != shape.parameters:
        raise InvalidModel(
            f"the weights: they hold {stored:,} numbers, and a {shape.architecture} of the sizes in "
            f"config.json has {shape.parameters:,}"
        )


def _learnt(name: str) -> bool:
    return not BUFFERS.fullmatch(name)


def _learnt_once(headers: Headers, *, tied: bool) -> Iterator[StoredTensor]:
    for name, one in headers.items():
        copy = tied and TIED_COPIES.fullmatch(name)
        unused = re.match(r"(.*\.)?pooler\.|cls\.seq_relationship\.", name)
        if _learnt(name) and not copy and not unused:
            yield one


__all__ = ["Headers", "InvalidModel", "StoredTensor", "facts_of", "shape_of_config"]
