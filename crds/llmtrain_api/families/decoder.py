"""Decoders with rotary positions: what Llama, Mistral, Qwen, Gemma and Phi have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..schema.task import Task
from ..shape import ModelShape
from .base import Family, Linear, Parts, Saved, Tensors
from .config import Config, rotary, switches

ACTIVATION = ("hidden_act", "silu")


@dataclass(frozen=True)
class Decoder:
    """What the architectures differ in, and the defaults of their configurations.

    Attributes:
        qkv_bias: whether queries, keys and values have biases whatever the configuration says.
        qk_norm: whether each head's queries and keys are normed.
        norms: of a block.
        tied: whether embeddings are tied where the configuration does not say.
        head_size: where the configuration does not say; None: hidden size / heads.
        kv_heads: where the configuration does not say; None: as many as heads.
        positions: where the configuration does not say.
        activation: its field, and its usual value.
        fused: whether queries, keys and values are one matrix, and gate and up another.
        more: what else may be switched.
    """

    qkv_bias: bool = False
    qk_norm: bool = False
    norms: int = 2
    tied: bool = False
    head_size: int | None = None
    kv_heads: int | None = None
    positions: int = 2048
    activation: tuple[str, str] = ACTIVATION
    fused: bool = False
    more: Callable[[Config], set[str]] = lambda _: set()

    def parts(self, shape: ModelShape) -> Parts:
        """Its tensors. Rotary positions have no weights."""
        hidden, width, tied = shape.hidden, shape.width, shape.tied
        block = [
            Tensors(hidden * shape.query_width, 2, cut=True),  # queries and output
            Tensors(hidden * shape.kv_width, 2, cut=True),
            Tensors(hidden * width, 3, cut=True),
            Tensors(hidden, self.norms),
        ]
        if self.qkv_bias or "attention-bias" in shape.switches:
            block += [Tensors(shape.query_width, cut=True), Tensors(shape.kv_width, 2, cut=True)]
        if "attention-bias" in shape.switches and not self.qkv_bias:
            block.append(Tensors(hidden))  # of the output, which AutoTP cuts by rows
        if "mlp-bias" in shape.switches:
            block += [Tensors(width, 2, cut=True), Tensors(hidden)]
        if self.qk_norm:
            block.append(Tensors(shape.head_size, 2))
        # AutoTP cuts the output layer, and with it the embeddings that share its weights
        embedding = Tensors(shape.vocabulary * hidden, cut=tied, looked_up=not tied)
        last = [Tensors(hidden), *([] if tied else [Tensors(shape.vocabulary * hidden, cut=True)])]
        return Parts([embedding], block, last, [embedding] if tied else [])

    def linears(self, shape: ModelShape) -> list[Linear]:
        """Its linear layers."""
        hidden, query, kv, width = shape.hidden, shape.query_width, shape.kv_width, shape.width
        first = {"q_proj": query, "k_proj": kv, "v_proj": kv}
        feed = {"gate_proj": width, "up_proj": width}
        if self.fused:
            first, feed = {"qkv_proj": query + 2 * kv}, {"gate_up_proj": 2 * width}
        sizes = {f"self_attn.{name}": (hidden, size) for name, size in first.items()}
        sizes["self_attn.o_proj"] = (query, hidden)
        sizes |= {f"mlp.{name}": (hidden, size) for name, size in feed.items()}
        sizes["mlp.down_proj"] = (width, hidden)
        return [Linear(name, *size, shape.layers) for name, size in sizes.items()]

    def read(self, config: Config) -> dict[str, object]:
        """Fields of `ModelShape`."""
        hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
        head_size = config.size("head_dim", self.head_size or max(1, hidden // heads))
        found = switches(config, tied=self.tied, activation=self.activation) | self.more(config)
        return {
            "switches": found | rotary(config, hidden=hidden, heads=heads, head_size=head_size),
            "hidden": hidden,
            "layers": config.size("num_hidden_layers"),
            "heads": heads,
            "kv_heads": config.size("num_key_value_heads", self.kv_heads or heads),
            "head_size": head_size,
            "width": config.size("intermediate_size"),
            "vocabulary": config.size("vocab_size"),
            "positions": config.positions(self.positions),
        }

    def family(self, architecture: str, model_type: str, title: str, saved: Saved) -> Family:
        """The family of an architecture that is not built in."""
        return Family(
            architecture=architecture,
            model_type=model_type,
            name=model_type,
            title=title,
            builtin=None,
            task=Task.CAUSAL,
            grouped=True,
            saved=saved,
            parts=self.parts,
            linears=self.linears,
            read=self.read,
        )
