"""Images as a model sees them: resized and cropped by its own processor, once, and kept as bytes."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from llmtrain_api import JobFile
from llmtrain_api.families.llava import seeing

from ...errors import ConfigError
from ...files import read_json
from ...models.headers import CONFIG
from ...models.location import folder_of, named
from ...output import IMAGES
from ...pictures import Described, opened
from ...special_tokens import IMAGE, image_token_of_ours
from .picture import Picture

USED = "CLIPImageProcessorPil"


class ImageStore:
    """Writes images one by one; one is in memory at a time.

    Args:
        folder: of the data.
        processor: of the model.
        described: what the model makes of them.

    Attributes:
        count: images that are written.
    """

    def __init__(self, folder: Path, processor: Any, described: Described) -> None:
        self.described, self.count = described, 0
        self._processor, self._file = processor, (folder / IMAGES).open("wb")
        described.write(folder)

    def add(self, picture: Picture, root: Path | None) -> None:
        """Append an image.

        Args:
            picture: which.
            root: folder of the dataset; None where it lies in a store.

        Raises:
            ConfigError: it is none that may be opened; the message names file and line.
        """
        where = f"{picture.where} {picture.path!r}" if picture.path else picture.where
        image = opened(picture.read(root), where)
        made = self._processor(image, do_rescale=False, do_normalize=False, return_tensors="np")
        pixels = np.ascontiguousarray(made["pixel_values"][0])
        assert pixels.dtype == np.uint8, "an image that is only resized stays bytes"
        self._file.write(pixels.tobytes())
        self.count += 1

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def processor_of(job: JobFile, tokenizer: Path) -> Any:
    """The image processor of a job's model.

    Args:
        job: whose.
        tokenizer: folder that the tokenizer's files were copied to, and the processor's with them.

    Raises:
        ConfigError: there is none, or one that is not CLIP's or makes images of another size.
    """
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    size = seeing(job.shape).image
    if folder_of(job) is None:
        return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    try:
        found = transformers.AutoImageProcessor.from_pretrained(
            tokenizer, local_files_only=True, trust_remote_code=False, backend="pil"
        )
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{named(job)} has no image processor that can be read: {said}",
            "put its preprocessor_config.json there, or write it with AutoProcessor's save_pretrained",
        ) from None
    if type(found).__name__ != USED:
        raise ConfigError(
            f"{named(job)} has a {type(found).__name__}; only CLIP's image processor is used",
            "name a LLaVA model with CLIPImageProcessor in its preprocessor_config.json",
        )
    made = found(np.zeros((2 * size, 3 * size, 3), np.uint8), return_tensors="np")["pixel_values"].shape
    if made[1:] != (3, size, size):
        raise ConfigError(
            f"{named(job)}: its image processor makes images of {made[2]} x {made[3]} pixels, and the model "
            f"sees {size} x {size}",
            "correct crop_size in its preprocessor_config.json",
        )
    return found


def described(job: JobFile, processor: Any) -> Described:
    """What a job's model makes of images.

    Raises:
        ConfigError: its configuration names no token of an image.
    """
    vision, base = seeing(job.shape), folder_of(job)
    token = (
        image_token_of_ours() if base is None else (read_json(base / CONFIG) or {}).get("image_token_index")
    )
    if not isinstance(token, int) or not 0 <= token < job.shape.vocabulary:
        raise ConfigError(
            f"{named(job)}: image_token_index of its config.json is {token!r}, and its vocabulary has "
            f"{job.shape.vocabulary} entries",
            f"set it to the id of {IMAGE} in its tokenizer",
        )
    return Described(
        size=vision.image,
        tokens=vision.tokens,
        token=token,
        scale=float(processor.rescale_factor) if processor.do_rescale else 1.0,
        mean=tuple(map(float, processor.image_mean)) if processor.do_normalize else (0.0,) * 3,
        deviation=tuple(map(float, processor.image_std)) if processor.do_normalize else (1.0,) * 3,
    )


def write_processor(job: JobFile, processor: Any, folder: Path) -> None:
    """Leave the processor of a built-in model beside its tokenizer, so that whoever opens the export finds
    it."""
    import transformers

    vision = seeing(job.shape)
    whole = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    transformers.LlavaProcessor(
        image_processor=processor,
        tokenizer=whole,
        patch_size=vision.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
        chat_template=whole.chat_template,
    ).save_pretrained(folder)
