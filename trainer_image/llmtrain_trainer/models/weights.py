"""A model's weights by its own names, from a folder whose names may be older or lack what is shared."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from math import prod

import torch

from ..errors import ConfigError
from .source import Source

IGNORED = re.compile(
    r".*((attn|crossattention)\.(masked_)?bias|rotary_emb\.inv_freq|position_ids"
    r"|token_type_ids|final_logits_bias|pooler\.dense\.(weight|bias)|cls\.seq_relationship\.(weight|bias))"
    r"|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
)
"""Tensors that old files have and no model reads: constants, and heads of BERT that nothing trains."""
ZEROS = "final_logits_bias"
"""What BART adds to each logit: a constant that is made of zeros, and that no file need have."""
OTHER_HEADS = re.compile(r"(lm_head|cls|score|classifier|qa_outputs)\..*|.*\.?pooler\.dense\.(weight|bias)")
"""Tensors of heads for other tasks, which a model with a new head leaves where they are."""
_OLD = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}
"""Names that the first checkpoints of BERT have."""
_OLD_PLACES = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.vision_tower.": "vision_tower.vision_model.",
}
"""How names begin in files of models that see images, which transformers still writes so."""
FEW = 3
"""Names that a message lists."""


def name_in(names: Collection[str], name: str, prefix: str, tied: Mapping[str, str]) -> str | None:
    """The name that files have for a weight; None where they have none.

    Args:
        names: of the tensors in the files.
        name: the model's name of it.
        prefix: of the model without its head, which the files may leave out or have where it is not.
        tied: weights that are one tensor, each with the other's name.
    """
    partners = [other for pair in tied.items() if name in pair for other in pair if other != name]
    shared = {other for first in partners for pair in tied.items() if first in pair for other in pair}
    for one in (name, *partners, *sorted(shared - {name, *partners})):
        without = one.removeprefix(f"{prefix}.")
        for spelled in (one, without, f"{prefix}.{one}"):
            old = [
                was + spelled.removeprefix(new) for new, was in _OLD_PLACES.items() if spelled.startswith(new)
            ]
            old += [spelled.removesuffix(new) + was for new, was in _OLD.items() if spelled.endswith(new)]
            for candidate in (spelled, *old):
                if candidate in names:
                    return candidate
    return None


class Weights:
    """What a model starts from: tensors of a folder by the model's names, and new ones for a new head.

    Args:
        source: the folder's tensors.
        prefix: see `name_in`.
        tied: see `name_in`.
        fresh: weights that the folder need not have, with the width of their noise; see `fresh`.
        seed: of the noise.

    Attributes:
        other_heads: whether the folder may have heads that are not read.
    """

    def __init__(
        self,
        source: Source,
        prefix: str = "",
        tied: Mapping[str, str] | None = None,
        fresh: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.source, self.prefix, self.tied = source, prefix, tied or {}
        self.fresh, self.seed = fresh or {}, seed
        self.other_heads = False

    def found(self, name: str) -> str | None:
        """The folder's name of a weight; None where the folder has none."""
        return name_in(self.source.entries, name, self.prefix, self.tied)

    def flat(self, name: str, shape: tuple[int, ...], start: int, stop: int) -> torch.Tensor:
        """Numbers of a weight in the order of its rows, in the dtype that they are stored in.

        Args:
            name: the model's name of it.
            shape: what the model has it in.
            start: the first of them; those beyond the weight's end are left out.
            stop: the one after the last of them.

        Raises:
            ConfigError: the folder has no such weight, or in another shape.
        """
        there = self.found(name)
        start, stop = min(start, prod(shape)), min(stop, prod(shape))
        if name in self.fresh:
            return fresh(name, shape, self.fresh[name], self.seed).flatten()[start:stop]
        if there is None:
            raise ConfigError(
                f"{self.source.where} has no {name}, which its config.json asks for",
                "name a folder that has the whole model",
            )
        if self.source.shape(there) != shape:
            raise ConfigError(
                f"{self.source.where}: {there} has shape {list(self.source.shape(there))}, and config.json "
                f"asks for {list(shape)}",
                "use config.json and weights of one model",
            )
        return self.source.flat(there, start, stop)

    def read(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """A whole weight in the dtype that it is stored in; see `flat`."""
        return self.flat(name, shape, 0, prod(shape)).view(shape)

    def unread(self, names: Collection[str]) -> list[str]:
        """Tensors of the folder that none of these weights is read from, and that mean something."""
        used = {self.found(name) for name in (*names, *self.tied, *self.tied.values())}
        left = [one for one in self.source.names() if one not in used and not IGNORED.fullmatch(one)]
        return [one for one in left if not (self.other_heads and OTHER_HEADS.fullmatch(one))]


def fresh(name: str, shape: tuple[int, ...], width: float, seed: int) -> torch.Tensor:
    """A weight of a new head, the same in every process: noise, or what a norm or a bias begins with."""
    if name.endswith("bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + zlib.crc32(name.encode()))
    return torch.empty(shape).normal_(0.0, width, generator=generator)


def require_whole(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Look for every weight of a model, and at every tensor of its folder, without reading one.

    Raises:
        ConfigError: the folder lacks one, has one in another shape, or has some that the model does not read.
    """
    for name, shape in shapes.items():
        weights.flat(name, shape, 0, 0)
    source = weights.source
    if ZEROS in source.entries and source.flat(ZEROS, 0, prod(source.shape(ZEROS))).any():
        raise ConfigError(
            f"{source.where}: its {ZEROS} is not zero everywhere, and the trained model would be without it",
            "name another model",
        )
    if unread := weights.unread(shapes):
        raise ConfigError(
            f"{weights.source.where} has tensors that its architecture does not read: "
            f"{', '.join(unread[:FEW])}{' ...' if len(unread) > FEW else ''} ({len(unread)} of "
            f"{len(weights.source.entries)})",
            "use config.json and weights of one model",
        )


def new_head(names: Collection[str], prefix: str, weights: Weights) -> Iterator[str]:
    """Weights beside the model without its head, where the folder has none of them at all."""
    head = [name for name in names if not name.startswith(f"{prefix}.")]
    # a head that is tied to the embeddings is found through them
    own = [name for name in head if name not in weights.tied]
    if own and not any(weights.found(name) for name in own):
        yield from (name for name in head if weights.found(name) is None)
