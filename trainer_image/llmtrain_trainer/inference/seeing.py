"""What a model is asked about images: a message with them before its text, in the words of its template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..pictures import LARGEST
from ..pictures import opened as opened_image
from .folder import Opened


def require_images(opened: Opened, files: Sequence[Path]) -> None:
    """Images are for models that see them, and such models were taught with images alone.

    Raises:
        ConfigError: there are some without such a model, or none with one.
    """
    if files and opened.processor is None:
        raise ConfigError(
            "--image: this model reads text alone", "remove it, or name a model that sees images"
        )
    if not files and opened.processor is not None:
        raise ConfigError("this model answers about images", "name one with --image FILE")


def asked_about(opened: Opened, prompt: str, files: Sequence[Path]) -> dict[str, Any]:
    """The inputs of a model for a text after some images.

    Raises:
        ConfigError: an image cannot be opened, or the model has no template, or another number of places.
    """
    images = [opened_image(_read(path), str(path)) for path in files]
    token = opened.processor.image_token
    if token in prompt:
        raise ConfigError(f"the prompt has {token}, which is where an image stands", "leave it out")
    if not opened.tokenizer.chat_template:
        raise ConfigError(
            "the model's tokenizer has no chat template", "add a chat_template.jinja to the folder"
        )
    content = [*({"type": "image"} for _ in images), {"type": "text", "text": prompt}]
    text = opened.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    if text.count(token) != len(images):
        raise ConfigError(
            f"the chat template shows {text.count(token)} of {len(images)} images",
            "use one that writes the image's token for each part of type image",
        )
    return dict(opened.processor(images=images, text=text, return_tensors="pt", add_special_tokens=False))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"--image {path} cannot be read: {error.strerror}", "name a PNG or JPEG file"
        ) from None
