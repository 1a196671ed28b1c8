"""What a model is, from kilobytes of its files: before it is fetched, and before a GPU is held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtrain_api import JobSpec, ModelFacts, TokenizerFacts
from llmtrain_api.facts import InvalidModel, StoredTensor, facts_of

from ..errors import ConfigError
from ..models.headers import CONFIG, Files, LocalFiles, read_headers, read_json
from .remote import remote_of
from .unchanged import digest_of_files

TOKENIZER, TOKENIZER_CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
MAX_CONFIG = 4 << 20
"""Bytes of a ``config.json`` at most."""


def inspect(spec: JobSpec, base: str | None) -> ModelFacts:
    """Look at the model of a job.

    Args:
        spec: the job.
        base: the model's folder as this process sees it; None where it is on a hub or in a bucket.

    Raises:
        ConfigError: it is not there, may not be read, is torn, or cannot be trained.
        OSError: the way to it is broken, which a retry may help.
    """
    model = spec.model
    where = f"spec.model.name {model.name}"
    revision: str | None = None
    files: Files
    if base is not None:
        files = LocalFiles(Path(base), where)
    else:
        remote = remote_of(model.name, model.revision, where)
        files, revision = remote, remote.commit
    return look_at(files, pretrained=model.pretrained, revision=revision)


def look_at(files: Files, *, pretrained: bool, revision: str | None = None) -> ModelFacts:
    """Look at the files of a model.

    Args:
        files: of the model.
        pretrained: whether its weights are used; without, the headers of weights are not read.
        revision: the commit that they are in.

    Raises:
        ConfigError: the files are torn, or the model cannot be trained.
    """
    config, headers, weights = read_json(files, CONFIG, MAX_CONFIG), None, None
    if pretrained:
        entries = read_headers(files)
        headers = {name: StoredTensor(one.dtype, one.shape) for name, one in entries.items()}
        weights = digest_of_files(files, entries)
    tokenizer = tokenizer_of(files)
    try:
        return facts_of(config, headers, revision=revision, tokenizer=tokenizer, weights=weights)
    except InvalidModel as error:
        raise _refused(files.where, config, error) from None


def tokenizer_of(files: Files) -> TokenizerFacts:
    """What there is to know of a model's tokenizer.

    Raises:
        ConfigError: it has none, or one that is torn.
    """
    sizes = files.sizes()
    if TOKENIZER not in sizes:
        raise ConfigError(
            f"{files.where} has no {TOKENIZER}",
            "write one with transformers: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
        )
    whole = read_json(files, TOKENIZER)
    told = read_json(files, TOKENIZER_CONFIG) if TOKENIZER_CONFIG in sizes else {}
    return TokenizerFacts(
        vocabulary=max(1, len(_entries(files, whole))),
        chat_template=TEMPLATE in sizes or bool(told.get("chat_template")),
    )


def _entries(files: Files, tokenizer: dict[str, Any]) -> set[str]:
    """Every token, whatever kind of tokenizer it is: a vocabulary by name, or a list of names with scores."""
    try:
        vocabulary = tokenizer["model"]["vocab"]
        found = (
            {str(one) for one in vocabulary}
            if isinstance(vocabulary, dict)
            else {str(name) for name, *_ in vocabulary}
        )
        return found | {str(one["content"]) for one in tokenizer.get("added_tokens") or ()}
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{files.where}: its {TOKENIZER} has no vocabulary", "download the model again"
        ) from None


def _refused(where: str, config: dict[str, Any], error: InvalidModel) -> ConfigError:
    if "auto_map" in config and "architecture" in str(error):
        return ConfigError(
            f"{where} needs code of its own repository (auto_map in its config.json), which is never run",
            "name a model whose architecture transformers has itself",
        )
    return ConfigError(f"{where}: {error}", "name another model")
