"""Rows of dialogues with images, images of strangers, and what a model reads of both."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from llmtrain_trainer import pictures
from llmtrain_trainer.data.chat.samples import CUT, TOO_LONG, UNSEEN, fitting
from llmtrain_trainer.data.chat.template import Template
from llmtrain_trainer.data.images.dialogue import ImageDialogue, TakeImageDialogue
from llmtrain_trainer.data.images.picture import Picture
from llmtrain_trainer.data.images.preparing import ImageStore
from llmtrain_trainer.data.images.template import IMAGE_CHATML, ImageTemplate
from llmtrain_trainer.data.images.writing import ImageRowWriter, Shown
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.data.tokenizer import train_bpe
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.loss import IGNORED
from llmtrain_trainer.pictures import Described, open_images, opened
from llmtrain_trainer.special_tokens import EOS
from llmtrain_trainer.tasks.image_chat import ImageChatLM

ANSWER = {"role": "assistant", "content": "a dog"}
PROCESSOR = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
TOKENS = 4


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def noise(width: int = 40, height: int = 50) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8))


def asked(*contents: Any, images: Any = ("1.png",), **more: Any) -> dict[str, Any]:
    turns = [m for content in contents for m in ({"role": "user", "content": content}, ANSWER)]
    return {"images": [*images], "messages": turns, **more}


def taken(row: dict[str, Any], **named: str) -> ImageDialogue:
    found = TakeImageDialogue(named)(Record(row, "a/rows.jsonl", 7)).item
    assert isinstance(found, ImageDialogue)
    return found


PARTS = [{"type": "image"}, {"type": "text", "text": "What?"}]
FORMS: dict[str, dict[str, Any]] = {
    "places in the text": asked("<image>What?"),
    "parts": asked(PARTS),
    "parts of a table": asked(
        [{"type": "image", "text": None, "index": 0}, {"type": "text", "text": "What?"}]
    ),
    "one image": {"image": "1.png", "messages": [{"role": "user", "content": "<image>What?"}, ANSWER]},
    "ShareGPT": {
        "image": "1.png",
        "conversations": [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "a dog"}],
    },
    "prompt": {"images": ["1.png"], "prompt": "<image>What?", "completion": "a dog"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_of_any_usual_form_is_a_dialogue_with_images(form: str) -> None:
    found = taken(FORMS[form])
    [user, answer] = found.messages
    assert user["content"] == [{"type": "image", "number": 0}, {"type": "text", "text": "What?"}]
    assert answer["content"] == [{"type": "text", "text": "a dog"}]
    assert [one.path for one in found.pictures] == ["a/1.png"]
    assert found.contents == ["What?", "a dog"]


def test_bytes_of_a_table_and_a_named_column() -> None:
    row = {"pics": [{"bytes": b"abc", "path": "x.png"}], "messages": asked("<image>What?")["messages"]}
    [picture] = taken(row, images="pics").pictures
    assert (picture.data, picture.path) == (b"abc", "")


def test_the_side_of_the_split_depends_on_the_images_too() -> None:
    assert taken(asked("<image>?")).text != taken(asked("<image>?", images=["2.png"])).text


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "fewer images": (
        asked("<image><image>Which?"),
        "have 2 places for images (<image>), and it has 1 images",
    ),
    "more images": (asked("What?"), "have 0 places for images"),
    "none": (asked("What?", images=()), "it has no image (for dialogues without images there is task chat)"),
    "in an answer": (
        {"images": ["1.png"], "prompt": "Draw it", "completion": "<image>"},
        "is the assistant's and has an image",
    ),
    "another part": (asked([{"type": "video"}]), "is no part of type text or image"),
    "an image in a part": (asked([{"type": "image", "image": "1.png"}]), "which belongs into images"),
    "up": (asked("<image>?", images=["../1.png"]), "leads out of the dataset's folder"),
    "absolute": (asked("<image>?", images=["/etc/1.png"]), "leads out of the dataset's folder"),
    "a URL": (asked("<image>?", images=["http://a/1.png"]), "leads out of the dataset's folder"),
    "a number": (asked("<image>?", images=[5]), "is a number, and no image"),
    "nothing": (asked("<image>?", images=[{"bytes": None, "path": None}]), "is null, and no image"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_told_with_its_line(name: str) -> None:
    row, words = BAD_ROWS[name]
    with pytest.raises(ConfigError) as error:
        taken(row)
    assert str(error.value).startswith("a/rows.jsonl line 7")
    assert words in str(error.value)
    assert error.value.hint


def huge(side: int) -> bytes:
    """A PNG whose header says that it has more pixels than a memory has room for."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


def animated() -> bytes:
    other = noise().rotate(90)
    return encoded(noise(), save_all=True, append_images=[other], duration=10)


BAD_IMAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"no image at all", "is no PNG or JPEG image"),
    "GIF": (encoded(noise(), "GIF"), "is no PNG or JPEG image"),
    "WebP": (encoded(noise(), "WEBP"), "is no PNG or JPEG image"),
    "half a PNG": (encoded(noise())[:2000], "is damaged"),
    "half a JPEG": (encoded(noise(200, 200), "JPEG")[:3000], "is damaged"),
    **{
        f"a bomb of {side}": (huge(side), "has more than 50,000,000 pixels")
        for side in (60_000, 10_000, 8_000)
    },
    "a line": (encoded(noise(1, 200)), "one side is more than 100 times the other"),
    "animated": (animated(), "holds 2 images, one after another"),
    "16 bits": (encoded(Image.new("I;16", (8, 8))), "has 16 bits a colour"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_an_image_that_may_not_be_opened_is_refused_in_one_sentence(name: str) -> None:
    data, words = BAD_IMAGES[name]
    with pytest.raises(ConfigError) as error:
        opened(data, "rows.jsonl line 3 images[0]")
    assert str(error.value).startswith("rows.jsonl line 3 images[0] ")
    assert words in str(error.value)
    assert error.value.hint


def test_a_file_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGEST", 100)
    with pytest.raises(ConfigError, match=r"has [\d,]+ bytes, more than 100"):
        opened(encoded(noise()), "a")


def test_transparent_grey_and_turned_images_are_read_as_people_see_them() -> None:
    for mode in ("L", "P", "RGBA", "1", "CMYK"):
        form = "JPEG" if mode == "CMYK" else "PNG"
        assert opened(encoded(noise().convert(mode), form), "a").mode == "RGB"
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(encoded(noise(40, 50), "JPEG", exif=exif), "a").size == (50, 40)


def test_a_path_ends_inside_of_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(tmp_path / "data" / "pipe.png")
    for path, words in (
        ("link.png", "a link out of the dataset's folder"),
        ("no.png", "cannot be read"),
        ("pipe.png", "is no plain file"),
        (".", "is no plain file"),
    ):
        with pytest.raises(ConfigError, match=words):
            Picture(path, b"", "rows.jsonl line 1 images[0]").read(tmp_path / "data")
    with pytest.raises(ConfigError, match="lies in a store"):
        Picture("a.png", b"", "rows.jsonl line 1 images[0]").read(None)


def seen(template: str = IMAGE_CHATML) -> tuple[Any, ImageTemplate]:
    whole = with_image(template)
    return whole, ImageTemplate(Template(whole), whole.convert_tokens_to_ids("<image>"), TOKENS)


def with_image(template: str) -> Any:
    backend = train_bpe(["What? a dog"], 300, ["<|im_start|>", "<|im_end|>", "<image>"])
    backend.encode_special_tokens = False
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=EOS,
        additional_special_tokens=["<|im_start|>", "<|im_end|>", "<image>"],
    )
    whole.chat_template = template
    return whole


def test_an_image_is_as_many_tokens_as_patches_and_never_trained_on() -> None:
    whole, template = seen()
    [sample] = template.samples(taken(asked("See <image> here")).messages, "a")
    image = whole.convert_tokens_to_ids("<image>")
    assert sample.ids.count(image) == TOKENS
    text = whole.decode([one for one, yes in zip(sample.ids, sample.trained, strict=True) if yes])
    assert text == "a dog<|im_end|>"


def test_a_text_that_spells_a_special_token_is_text() -> None:
    whole, template = seen()
    [sample] = template.samples(taken(asked("<image>Say <|im_end|>")).messages, "a")
    assert sample.ids.count(whole.convert_tokens_to_ids("<|im_end|>")) == 2


def test_a_long_dialogue_loses_whole_turns_with_their_images() -> None:
    _, template = seen()
    dialogue = taken(asked("<image>One?", "<image>Two?", images=["1.png", "2.png"]))
    counts, [whole] = ReadCounts(), list(template.samples(dialogue.messages, "a"))
    [cut] = fitting(dialogue, template, len(whole.ids) - 1, counts)
    assert (cut.images, counts.dialogues[CUT]) == ((1,), 1)
    assert not list(fitting(dialogue, template, 5, counts))
    assert counts.dialogues[TOO_LONG] == 1
    late = taken(asked("<image>One?", "And then?"))
    [first] = template.samples(late.messages, "a")
    assert not list(fitting(late, template, len(first.ids) - 1, counts))
    assert counts.dialogues[UNSEEN] == 1


def test_a_template_that_shows_no_images_is_refused() -> None:
    blind = "{% for m in messages %}{{ m.content[-1].text }}<|im_end|>{% endfor %}"
    with pytest.raises(ConfigError, match="shows 0 of its 1 images"):
        list(seen(blind)[1].samples(taken(asked("<image>What?")).messages, "a"))


def test_a_model_reads_what_its_processor_makes_and_is_asked_for_answers_alone(tmp_path: Path) -> None:
    how = Described(32, TOKENS, 9, 1 / 255, tuple(PROCESSOR.image_mean), tuple(PROCESSOR.image_std))
    files = [encoded(noise(width, 50)) for width in (40, 60, 90)]
    with ImageStore(tmp_path, PROCESSOR, how) as store:
        for data in files:
            store.add(Picture("", data, "a"), None)
    writer = ImageRowWriter(tmp_path / "rows.bin", 20, 1)
    writer.add_seen([5, 9, 9, 9, 9, 6, 7, 8], [False] * 6 + [True] * 2, 2)
    writer.add_seen([5, *[9] * 8, 6, 7, 8], [False] * 10 + [True] * 2, 0)
    writer.end_source()
    side = writer.side()
    rows = torch.from_numpy(side.take(range(2)).astype(np.int64))
    inputs, labels = ImageChatLM(open_images(tmp_path)).encode(rows, [0, 0])
    wanted = PROCESSOR([opened(files[n], "a") for n in (2, 0, 1)], return_tensors="pt")["pixel_values"]
    assert torch.allclose(inputs["pixel_values"], wanted, atol=1e-6)
    assert inputs["input_ids"].shape == (2, 16)  # cut to the longest, in eights
    assert [row[row != IGNORED].tolist() for row in labels] == [[7, 8], [7, 8]]
    assert int((labels[0] != IGNORED).nonzero()[0]) == 5
    assert [int(one) & 0xFFFF for one in Shown(side.view, 9, TOKENS)[1]] == [5, 9, 9, 6, 7, 8]
    assert json.loads((tmp_path / "images.json").read_text())["size"] == 32
