"""What a model says of one text, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import ConfigError
from ..special_tokens import MASK
from .attribution import contributions, rollout
from .kinds import Kind
from .sample import Sample

COPIES = 8
"""Of a text, each with another token hidden, that are computed at once."""
WRITTEN = 32
"""Tokens that a model writes of a text at most, where nobody says what it should write."""
LARGEST = 1 << 27
"""Numbers of all layers' attentions together that are held at once."""


@dataclass(frozen=True)
class Told:
    """All that is told of a text.

    Attributes:
        attributions: of each token; its part in what is explained.
        losses: in nat, of each token where it is predicted; None where none is.
        rolled: how much of each token reaches the place that speaks, by the attentions; None without them.
        rolled_to: that place.
        written: ids and losses of what is written of the text.
        said: what the model says of the text as a whole.
        tags: what it says of each token.
    """

    attributions: list[float]
    losses: list[float | None]
    rolled: list[float] | None = None
    rolled_to: str | None = None
    written: list[tuple[int, float]] = field(default_factory=list)
    said: Mapping[str, Any] = field(default_factory=dict)
    tags: list[str] | None = None


def tell(model: Any, kind: Kind, tokenizer: Any, sample: Sample) -> Told:
    """What a model says of a text.

    Args:
        model: as `kinds.explainable` gives it.
        kind: of the model.
        tokenizer: its.
        sample: the text.
    """
    if kind is Kind.HIDDEN:
        return _hidden(model, tokenizer, sample)
    answer = sample.answer or _write(model, sample) if kind is Kind.WRITTEN else None
    with torch.no_grad():
        outputs = _forward(model, sample, answer, attentions=_held(model, sample))

    def explained(given: torch.Tensor) -> torch.Tensor:
        with instead(model, given):
            return number(kind, _forward(model, sample, answer), sample, answer)

    found = contributions(explained, embeddings_of(model)(sample.tokens(model.device)))[0]
    rolled, place = _rolled(model, kind, outputs)
    return Told(_floats(found), *_said(model, kind, outputs, sample, answer, (rolled, place)))


def number(kind: Kind, outputs: Any, sample: Sample, answer: list[int] | None = None) -> torch.Tensor:
    """The one number that is explained, in fp32 at least.

    Args:
        kind: of the model.
        outputs: of it, for the text alone.
        sample: the text.
        answer: ids that are written of it.
    """
    if kind is Kind.PLACE:
        return _wide(outputs.start_logits).max() + _wide(outputs.end_logits).max()
    logits = _wide(outputs.logits)[0]
    if kind is Kind.NEXT:
        return -_losses(logits[:-1], sample.ids[1:]).sum()
    if kind is Kind.WRITTEN:
        return -_losses(logits, answer or []).sum()
    return logits.max(-1).values.sum() if kind in (Kind.CLASS, Kind.TAGS) else logits.sum()


def _said(
    model: Any,
    kind: Kind,
    outputs: Any,
    sample: Sample,
    answer: list[int] | None,
    rolled: tuple[list[float] | None, str | None],
) -> tuple[Any, ...]:
    """The fields of `Told` after the first."""
    losses: list[float | None] = [None] * len(sample.ids)
    if kind is Kind.PLACE:
        first, last = (int(one[0].argmax()) for one in (outputs.start_logits, outputs.end_logits))
        return losses, *rolled, [], {"first": first, "last": last}, None
    logits, names = _wide(outputs.logits)[0], model.config.id2label or {}
    if kind is Kind.NEXT:
        return [None, *_floats(_losses(logits[:-1], sample.ids[1:]))], *rolled
    if kind is Kind.WRITTEN:
        of_answer = _floats(_losses(logits, answer or []))
        return losses, *rolled, list(zip(answer or [], of_answer, strict=True))
    if kind is Kind.TAGS:
        return losses, *rolled, [], {}, [str(names.get(int(at), at)) for at in logits.argmax(-1)]
    if kind is Kind.CLASS:
        at = int(logits.argmax())
        return losses, *rolled, [], {"class": str(names.get(at, at)), "logit": float(logits[at])}
    return losses, *rolled, [], {"number": float(logits.sum())}


def _hidden(model: Any, tokenizer: Any, sample: Sample) -> Told:
    """Of a model that fills masks: each token but the special ones is hidden once (Salazar et al. 2020)."""
    mask, special = mask_of(tokenizer), set(tokenizer.all_special_ids)
    asked = [at for at, one in enumerate(sample.ids) if one not in special] or [*range(len(sample.ids))]
    total = torch.zeros(len(sample.ids), dtype=torch.float64)
    losses: list[float | None] = [None] * len(sample.ids)
    for begin in range(0, len(asked), COPIES):
        places = asked[begin : begin + COPIES]
        parts, found = _with_hidden(model, mask, sample, places)
        total += parts.sum(0).double().cpu()
        for at, loss in zip(places, found, strict=True):
            losses[at] = loss
    with torch.no_grad():
        outputs = _forward(model, sample, None, attentions=True) if _held(model, sample) else None
    return Told(_floats(total), losses, *_rolled(model, Kind.HIDDEN, outputs))


def _with_hidden(
    model: Any, mask: int, sample: Sample, places: list[int]
) -> tuple[torch.Tensor, list[float]]:
    """Contributions in copies of a text, in each of which another place is hidden, and the losses there."""
    rows, losses = torch.arange(len(places), device=model.device), list[float]()
    copies = sample.tokens(model.device).repeat(len(places), 1)
    copies[rows, places] = mask
    more = {name: value.repeat(len(places), 1) for name, value in sample.inputs(model.device).items()}

    def explained(given: torch.Tensor) -> torch.Tensor:
        with instead(model, given):
            logits = _wide(model(input_ids=copies, **more).logits)[rows, places]
        found = _losses(logits, [sample.ids[at] for at in places])
        losses.extend(_floats(found))
        return -found.sum()

    parts = contributions(explained, embeddings_of(model)(copies))
    parts[rows, places] = 0.0  # what a mask adds is no token's of the text
    return parts, losses


def mask_of(tokenizer: Any) -> int:
    """The token that hides another; one that is trained here does not say which it is.

    Raises:
        ConfigError: there is none.
    """
    if tokenizer.mask_token_id is not None:
        return int(tokenizer.mask_token_id)
    if MASK not in tokenizer.get_vocab():
        raise ConfigError(
            "the model's tokenizer has no mask_token, which hides a token", "name another model"
        )
    return int(tokenizer.convert_tokens_to_ids(MASK))


def embeddings_of(model: Any) -> Any:
    """The layer that turns a text's tokens into numbers; of an encoder with a decoder, the encoder's."""
    return (model.get_encoder() if model.config.is_encoder_decoder else model).get_input_embeddings()


@contextmanager
def instead(model: Any, given: torch.Tensor) -> Iterator[None]:
    """The first embeddings that a model asks for are the given ones.

    Not by ``inputs_embeds``: there a model no longer sees which tokens fill up, and where its answer stands.
    """
    left = [given]
    hook = embeddings_of(model).register_forward_hook(lambda *called: left.pop() if left else called[-1])
    try:
        yield
    finally:
        hook.remove()


def _forward(model: Any, sample: Sample, answer: list[int] | None, *, attentions: bool = False) -> Any:
    more: dict[str, Any] = sample.inputs(model.device)
    if answer is not None:
        start = model.config.decoder_start_token_id
        more["decoder_input_ids"] = torch.tensor([[start, *answer[:-1]]], device=model.device)
    return model(input_ids=sample.tokens(model.device), **more, output_attentions=attentions)


def _write(model: Any, sample: Sample) -> list[int]:
    """The likeliest tokens that an encoder-decoder writes of a text."""
    written = model.generate(
        input_ids=sample.tokens(model.device),
        attention_mask=sample.inputs(model.device)["attention_mask"],
        max_new_tokens=WRITTEN,
        do_sample=False,
    )
    return [int(one) for one in written[0, 1:]]


def _held(model: Any, sample: Sample) -> bool:
    """Whether all attentions of a text may be held at once."""
    layers, heads = (
        int(getattr(model.config, name, 0) or 0) for name in ("num_hidden_layers", "num_attention_heads")
    )
    return layers * heads * len(sample.ids) ** 2 <= LARGEST


def _rolled(model: Any, kind: Kind, outputs: Any) -> tuple[list[float] | None, str | None]:
    found = getattr(outputs, "encoder_attentions" if kind is Kind.WRITTEN else "attentions", None)
    layers = int(getattr(model.config, "num_hidden_layers", 0) or 0)
    # layers that attend to nothing, as those of a state space, pass on what nobody sees
    if not found or len(found) != layers or any(one is None or one.dim() != 4 for one in found):
        return None, None
    passed = rollout([one[0] for one in found])
    if kind is Kind.NEXT:
        return _floats(passed[-1]), "the last token"
    if kind in (Kind.CLASS, Kind.NUMBER):
        reads_back = float(found[0][0].sum(0).triu(1).abs().max()) == 0.0
        return _floats(passed[-1 if reads_back else 0]), "the last token" if reads_back else "the first token"
    return _floats(passed.mean(0)), "all tokens, in the mean"


def _losses(logits: torch.Tensor, ids: list[int]) -> torch.Tensor:
    wanted = torch.tensor(ids, device=logits.device)
    return torch.nn.functional.cross_entropy(logits, wanted, reduction="none")


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _floats(values: torch.Tensor) -> list[float]:
    return [float(one) for one in values.detach().cpu()]
