"""``config.json`` of models that people train, as their publishers' files say: what decides their shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Published:
    """A model.

    Attributes:
        config: its ``config.json``.
        parameters: numbers of the model that is trained.
        switches: what makes other code run.
    """

    config: dict[str, Any]
    parameters: int
    switches: tuple[str, ...] = ()


def _decoder(architecture: str, model_type: str, sizes: str, **more: Any) -> dict[str, Any]:
    """A decoder's configuration, with its sizes in the order of ``names``."""
    names = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "vocab_size", "max_position_embeddings",
    )  # fmt: skip
    numbers = (int(one) for one in sizes.split())
    said = dict(zip(names, numbers, strict=True))
    return {"architectures": [architecture], "model_type": model_type, **said, **more}


LLAMA3_ROPE = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
CONFIGS: dict[str, Published] = {
    "meta-llama/Meta-Llama-3-8B": Published(
        _decoder(
            "LlamaForCausalLM", "llama", "4096 14336 32 32 8 128256 8192", rms_norm_eps=1e-5,
            rope_theta=500000.0, tie_word_embeddings=False,
        ),
        8_030_261_248,
    ),
    "meta-llama/Llama-3.1-8B": Published(
        _decoder(
            "LlamaForCausalLM", "llama", "4096 14336 32 32 8 128256 131072", rms_norm_eps=1e-5,
            rope_theta=500000.0, rope_scaling=LLAMA3_ROPE, tie_word_embeddings=False,
        ),
        8_030_261_248,
        ("rope:llama3",),
    ),
    "HuggingFaceTB/SmolLM2-135M": Published(
        _decoder(
            "LlamaForCausalLM", "llama", "576 1536 30 9 3 49152 8192", rms_norm_eps=1e-5, rope_theta=100000,
            rope_scaling=None, tie_word_embeddings=True,
        ),
        134_515_008,
        ("tied",),
    ),
    "Qwen/Qwen2.5-7B": Published(
        _decoder(
            "Qwen2ForCausalLM", "qwen2", "3584 18944 28 28 4 152064 131072", max_window_layers=28,
            rms_norm_eps=1e-6, rope_theta=1000000.0, sliding_window=131072, use_sliding_window=False,
            tie_word_embeddings=False,
        ),
        7_615_616_512,
    ),
    "Qwen/Qwen3-8B": Published(
        _decoder(
            "Qwen3ForCausalLM", "qwen3", "4096 12288 36 32 8 151936 40960", head_dim=128,
            max_window_layers=36, rms_norm_eps=1e-6, rope_theta=1000000, sliding_window=None,
            use_sliding_window=False,
            attention_bias=False, rope_scaling=None, tie_word_embeddings=False,
        ),
        8_190_735_360,
    ),
    "mistralai/Mistral-7B-v0.1": Published(
        _decoder(
            "MistralForCausalLM", "mistral", "4096 14336 32 32 8 32000 32768", rms_norm_eps=1e-5,
            rope_theta=10000.0, sliding_window=4096, tie_word_embeddings=False,
        ),
        7_241_732_096,
        ("window",),
    ),
    "mistralai/Mistral-7B-v0.3": Published(
        _decoder(
            "MistralForCausalLM", "mistral", "4096 14336 32 32 8 32768 32768", rms_norm_eps=1e-5,
            rope_theta=1000000.0, sliding_window=None, tie_word_embeddings=False,
        ),
        7_248_023_552,
    ),
    "google/gemma-2-9b": Published(
        _decoder(
            "Gemma2ForCausalLM", "gemma2", "3584 14336 42 16 8 256000 8192", head_dim=256,
            hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh",
            attn_logit_softcapping=50.0, final_logit_softcapping=30.0, query_pre_attn_scalar=256,
            rms_norm_eps=1e-6, rope_theta=10000.0,
            sliding_window=4096, sliding_window_size=4096,
        ),
        9_241_705_984,
        ("head-size", "soft-cap:attention", "soft-cap:logits", "tied"),
    ),
    "google/gemma-3-4b (text)": Published(
        _decoder(
            "Gemma3ForCausalLM", "gemma3_text", "2560 10240 34 8 4 262208 131072", head_dim=256,
            hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=256, rms_norm_eps=1e-6,
            rope_local_base_freq=10000.0, rope_theta=1000000.0, sliding_window=1024, sliding_window_pattern=6,
            rope_scaling={"factor": 8.0, "rope_type": "linear"},
        ),
        3_880_263_168,
        ("head-size", "rope:linear", "tied"),
    ),
    "microsoft/Phi-3-mini-4k-instruct": Published(
        _decoder(
            "Phi3ForCausalLM", "phi3", "3072 8192 32 32 32 32064 4096", rms_norm_eps=1e-5, rope_theta=10000.0,
            original_max_position_embeddings=4096, rope_scaling=None, sliding_window=2047, pad_token_id=32000,
            tie_word_embeddings=False,
        ),
        3_821_079_552,
        ("window",),
    ),
    "openai-community/gpt2": Published(
        {
            "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
            "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257,
            "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
        },
        124_439_808,
        ("tied",),
    ),
    "google-bert/bert-base-uncased": Published(
        {
            "architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_act": "gelu",
            "hidden_size": 768, "intermediate_size": 3072, "max_position_embeddings": 512,
            "num_attention_heads": 12,
            "num_hidden_layers": 12, "type_vocab_size": 2, "vocab_size": 30522,
        },
        109_514_298,
        ("tied",),
    ),
    "FacebookAI/roberta-base": Published(
        {
            "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "hidden_act": "gelu",
            "hidden_size": 768, "intermediate_size": 3072, "max_position_embeddings": 514,
            "num_attention_heads": 12, "num_hidden_layers": 12, "type_vocab_size": 1, "vocab_size": 50265,
            "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
        },
        124_697_433,
        ("tied",),
    ),
    "google-t5/t5-small": Published(
        {
            "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_ff": 2048, "d_kv": 64,
            "d_model": 512, "num_heads": 8, "num_layers": 6, "relative_attention_num_buckets": 32,
            "vocab_size": 32128, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0,
        },
        60_506_624,
        ("tied",),
    ),
    "a gated T5 with tied embeddings": Published(
        {
            "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_ff": 1024, "d_kv": 64,
            "d_model": 512, "num_heads": 6, "num_layers": 8, "num_decoder_layers": 8,
            "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32, "vocab_size": 32128,
            "tie_word_embeddings": True, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0,
        },
        60_511_616,
        ("activation:gelu", "gated", "tied"),
    ),
    "facebook/bart-base": Published(
        {
            "architectures": ["BartForConditionalGeneration"], "model_type": "bart", "d_model": 768,
            "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
            "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072,
            "activation_function": "gelu", "dropout": 0.1, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0,
            "max_position_embeddings": 1024, "num_hidden_layers": 6, "scale_embedding": False,
            "vocab_size": 50265, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
            "decoder_start_token_id": 2,
        },
        139_420_416,
        ("tied",),
    ),
    "google/gemma-2b": Published(
        _decoder(
            "GemmaForCausalLM", "gemma", "2048 16384 18 8 1 256000 8192", head_dim=256,
            hidden_act="gelu_pytorch_tanh", rms_norm_eps=1e-6, rope_theta=10000.0,
        ),
        2_506_172_416,
        ("tied",),
    ),
}  # fmt: skip
"""By the name that the hub has for them."""
