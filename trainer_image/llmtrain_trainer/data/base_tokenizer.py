"""The tokenizer of a model that exists: used as it is, with its own special tokens."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import transformers

from ..errors import ConfigError
from ..special_tokens import T5_HIDDEN, Tokens
from .tokenizer import LINE_ENDS, Cut

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "chat_template.jinja",
)
"""What a tokenizer is stored as. Nothing else of a model's folder is copied, but for `PROCESSOR`."""
PROCESSOR = ("preprocessor_config.json", "processor_config.json", "chat_template.json")
"""What the processor of a model is stored as that sees images."""
LARGEST = 256 << 20
"""Bytes of one of them at most."""


def open_tokenizer(folder: Path, where: str) -> tuple[Any, Tokens]:
    """The tokenizer of a folder, set to encode plain text, and its special tokens.

    A special token that a text spells is text. Nothing is cut, padded or put around a text here.

    Raises:
        ConfigError: there is none that can be used.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"{where} has no tokenizer.json",
            "write one with transformers: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
        )
    try:
        whole = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        backend = whole.backend_tokenizer
    except Exception as error:  # Rust's own errors are plain exceptions
        said = " ".join(str(error).split())[:300]
        raise ConfigError(f"{where}: its tokenizer cannot be read: {said}", "download it again") from None
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    return backend, tokens_of(whole, where)


def tokens_of(whole: Any, where: str) -> Tokens:
    """The special tokens of a tokenizer of transformers.

    Raises:
        ConfigError: none ends a text.
    """
    eos = whole.eos_token_id if whole.eos_token_id is not None else whole.sep_token_id
    if eos is None:
        raise ConfigError(
            f"{where}: its tokenizer has no eos_token, which ends a document",
            "set eos_token in its tokenizer_config.json",
        )
    backend = whole.backend_tokenizer
    bare = backend.encode("a", add_special_tokens=False).ids
    around = backend.encode("a", add_special_tokens=True).ids
    at = next((n for n in range(len(around)) if around[n : n + len(bare)] == bare), 0)
    after = tuple(around[at + len(bare) :])
    hidden = [backend.token_to_id(name) for name in T5_HIDDEN]
    return Tokens(
        eos=eos,
        mask=whole.mask_token_id,
        pad=whole.pad_token_id,
        sentinels=tuple(hidden) if None not in hidden else (),
        before=tuple(around[:at]),
        after=after[:-1] if after and after[-1] == eos else after,
    )


def decoder_start(folder: Path) -> int | None:
    """What a decoder beside an encoder begins with, as whoever has the model write begins; None where its
    configuration says nothing of it.

    Args:
        folder: of the model. A file may leave out what its architecture has anyway.
    """
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    start = getattr(config, "decoder_start_token_id", None)
    return start if isinstance(start, int) else None


def copy_tokenizer(folder: Path, into: Path, more: Sequence[str] = ()) -> None:
    """The files of a tokenizer as they are: whoever reads the result reads what the model was made with.

    Args:
        folder: of the model.
        into: folder to make.
        more: names of files that are copied too.

    Raises:
        ConfigError: one of them is too large to be one.
    """
    into.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, *more):
        if not (path := folder / name).is_file():
            continue
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path} has {path.stat().st_size} bytes", "name another model")
        shutil.copyfile(path, into / name)


_BEFORE, _AFTER = ("b.", "b", "}", ",", "1", "b "), ("a", "Be", "é", "the ")
_ENDS = ("\n", "\n\n", "\n\n\n", "\r\n", " \n\n")


def cut_at_lines(tokenizer: Any) -> Cut:
    """Where a text may be cut so that the tokens of the parts are those of the whole; if nowhere, ``whole``.

    Tokenizers differ in whether line ends go with what is before them or stand alone, so it is tried.
    """

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def keeps(at: re.Pattern[str]) -> bool:
        for text in ("".join(parts) for parts in product(_BEFORE, _ENDS, _AFTER)):
            end = next(at.finditer(text)).end()
            if ids(text[:end]) + ids(text[end:]) != ids(text):
                return False
        return True

    return next((cut for cut, at in LINE_ENDS.items() if keeps(at)), "whole")
