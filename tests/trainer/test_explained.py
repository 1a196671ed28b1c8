"""What a job and `llmtrain attribute` explain, from rows and folders to files; no job fails for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from harness.builders import job
from harness.trainer.tiny_models import tokenizer, write_llama
from structlog.testing import capture_logs

from llmtrain_api import JobFile, task_of
from llmtrain_api.schema.evaluation import FairnessSpec
from llmtrain_trainer.__main__ import main
from llmtrain_trainer.data.prepare import prepare
from llmtrain_trainer.data.sources import is_held_out
from llmtrain_trainer.data.store import INITIAL, TOKENIZER
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.explain.documents import trained_on
from llmtrain_trainer.explain.explanation import JSON, PAGE
from llmtrain_trainer.explain.kinds import Kind
from llmtrain_trainer.export import explained
from llmtrain_trainer.export.explained import affordable, write_explanation
from llmtrain_trainer.export.fairness import compared_pairs
from llmtrain_trainer.export.opened import Opened
from llmtrain_trainer.models.build import load

SENTENCES = ("The clerk paints a bridge. ", "A lamp weighs the song. ", "Who sings of rain? ")
ROWS = [f"Row {at}. " + "".join(SENTENCES[(at + step) % 3] for step in range(6)) for at in range(120)]
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
BASE: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2}


class Prepared:
    """A job whose data are prepared, with the model that its training would start from."""

    def __init__(self, work: Path, name: str, **changes: Any) -> None:
        (work / "rows").mkdir()
        lines = "".join(json.dumps({"text": row}) + "\n" for row in ROWS)
        (work / "rows" / "all.jsonl").write_text(lines)
        self.job: JobFile = job(
            work / "output",
            model={"name": f"builtin://{name}"} | ({"numKvHeads": None} if name != "tiny-llama" else {}),
            dataset={"name": f"file://{work / 'rows'}", "maxBytes": None} | changes.pop("dataset", {}),
            evaluation={"explain": {"texts": 2, "documents": 16} | changes.pop("explain", {})},
            **changes,
        )
        self.folder, self.data = work / "export", work / "data"
        self.folder.mkdir()
        self.marker = prepare(self.job, self.data)
        model = load(self.data / INITIAL, task_of(self.job.spec, self.job.shape), torch.float32).eval()
        words = transformers.AutoTokenizer.from_pretrained(self.data / TOKENIZER)
        self.exported = Opened(model, words, resident=True, sane=True)

    def explained(self) -> int | None:
        return write_explanation(self.job, self.exported, self.data, self.marker, self.folder)

    def told(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / JSON).read_text())
        return value


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny-gpt2", "next"), ("tiny-bert", "hidden"), ("tiny-t5", "written")]
)
def test_held_out_rows_are_explained_by_documents_that_were_trained_on(
    tmp_path: Path, name: str, kind: str
) -> None:
    made = Prepared(tmp_path, name)
    assert made.explained() == 2
    told = made.told()
    assert (told["kind"], told["notes"], len(told["texts"])) == (kind, [], 2)
    trained = made.marker.report["documents"]["train"]
    assert told["documents"] == {"compared": 16, "passed": trained, "of": trained}
    for one in told["texts"]:
        assert one["source"].startswith("held-out row ")
        assert one["loss"] > 0
        for near in one["nearest"]:
            file, _, number = near["document"].partition(" line ")
            assert file == "all.jsonl"
            assert ROWS[int(number) - 1].startswith(near["excerpt"].rstrip("…"))
            assert not is_held_out(ROWS[int(number) - 1], made.job.spec.dataset.held_out_fraction)
    assert (made.folder / PAGE).read_text().count("<section") == 2


def test_documents_are_those_that_training_read(tmp_path: Path) -> None:
    made = Prepared(tmp_path, "tiny-llama", dataset={"cleaning": {"maxCharacters": 10_000}})
    found = [document.text for document in trained_on(made.job)]
    fraction = made.job.spec.dataset.held_out_fraction
    assert found == [row for row in ROWS if not is_held_out(row, fraction)]
    assert len(found) < len(ROWS)


def test_no_job_fails_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Prepared(tmp_path, "tiny-llama")
    (tmp_path / "rows" / "all.jsonl").unlink()
    with capture_logs() as logs:
        assert made.explained() == 2
    assert logs[0]["event"] == "training documents are not compared"
    assert "without" in made.told()["documents"]
    assert "No training documents were looked at" in (made.folder / PAGE).read_text()

    def broken(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("no room")

    monkeypatch.setattr(explained, "explain", broken)
    with capture_logs() as logs:
        assert made.explained() is None
    assert logs[-1] == {
        "event": "the export has no explanation",
        "error": "OutOfMemoryError: no room",
        "log_level": "warning",
    }
    assert not list(made.folder.iterdir()), "no explanation of another attempt is left"


@pytest.mark.parametrize(("left", "why"), [("resident", "no room"), ("sane", "is no number")])
def test_what_cannot_be_computed_is_left_out_and_told(tmp_path: Path, left: str, why: str) -> None:
    made = Prepared(tmp_path, "tiny-llama", explain={"documents": 0})
    setattr_ = {"resident": True, "sane": True} | {left: False}
    made.exported = Opened(made.exported.model, made.exported.tokenizer, **setattr_)
    with capture_logs() as logs:
        assert made.explained() is None
    assert why in logs[-1]["error"]


def pairs_named(made: Prepared, text: str) -> JobFile:
    path = made.data.parent / "pairs.jsonl"
    path.write_text(text)
    fairness = made.job.spec.evaluation.model_copy(update={"fairness": FairnessSpec(pairs=f"file://{path}")})
    spec = made.job.spec.model_copy(update={"evaluation": fairness})
    return made.job.model_copy(update={"spec": spec, "pairs": str(path)})


def test_a_masked_model_compares_pairs_and_no_job_fails_for_them(tmp_path: Path) -> None:
    made = Prepared(tmp_path, "tiny-bert")
    row = '{"a": "The clerk paints.", "b": "The lamp paints.", "category": "who"}\n'
    found = compared_pairs(pairs_named(made, row * 3), made.exported, made.marker)
    assert found is not None
    assert (found.score, found.pairs, found.of) == ("pseudoLogLikelihood", 3, 3)
    (one,) = found.categories
    assert one.gap == one.low == one.high != 0
    assert compared_pairs(made.job, made.exported, made.marker) is None
    with capture_logs() as logs:
        assert compared_pairs(pairs_named(made, "{"), made.exported, made.marker) is None
    assert logs[-1]["event"] == "pairs are not compared"
    with pytest.raises(ConfigError, match="line 1 is no JSON"):
        prepare(pairs_named(made, "{"), tmp_path / "again")


def test_time_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Prepared(tmp_path, "tiny-llama")
    monkeypatch.setattr(explained, "SECONDS", 0.0)
    with capture_logs() as logs:
        assert made.explained() == 0
    assert {"the explanation is not whole"} == {one["event"] for one in logs if "note" in one}


def test_a_large_model_has_fewer_and_shorter_texts_or_none() -> None:
    assert affordable(Kind.NEXT, 10**6, 4, 256, gpu=False) == (4, 256)
    assert affordable(Kind.NEXT, 10**9, 4, 256, gpu=False) == (1, 256)
    assert affordable(Kind.NEXT, 7 * 10**9, 4, 256, gpu=False) == (1, 32)
    assert affordable(Kind.NEXT, 70 * 10**9, 4, 256, gpu=False) == (0, 0)
    assert affordable(Kind.NEXT, 70 * 10**9, 4, 256, gpu=True) == (4, 256)
    assert affordable(Kind.HIDDEN, 10**8, 4, 256, gpu=False) == (3, 32)


def classifier(folder: Path) -> Path:
    words = tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_labels=3, **BASE
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def adapter(work: Path) -> Path:
    base = write_llama(work / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    added: Any = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=["v_proj"], task_type="CAUSAL_LM")
    )
    last = added.base_model.model.model.layers[1].self_attn.v_proj
    torch.nn.init.constant_(last.lora_B["default"].weight, 50.0)
    added.save_pretrained(work / "adapter")
    tokenizer().save_pretrained(work / "adapter")
    return work / "adapter"


def test_folders_of_any_kind_are_explained_by_the_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "all.jsonl").write_text('{"text": "Hello world"}\n{"text": "0123456"}\n')
    (tmp_path / "texts.txt").write_text("Hello again\n\nHow are you?\n")
    found = {}
    for folder in (write_llama(tmp_path / "plain"), adapter(tmp_path), classifier(tmp_path / "classes")):
        arguments = [
            "attribute",
            str(folder),
            "--text",
            "Hello world",
            "--texts",
            str(tmp_path / "texts.txt"),
        ]
        assert main([*arguments, "--documents", str(tmp_path / "documents"), "--device", "cpu"]) == 0
        found[folder.name] = json.loads((folder / JSON).read_text())
        assert (folder / PAGE).read_text().count("<section") == 3
    assert capsys.readouterr().out.count("explanation.json explain 3 texts") == 3
    first = {name: told["texts"][0] for name, told in found.items()}
    assert [one["source"] for one in found["plain"]["texts"]] == [
        "--text 1",
        "texts.txt line 1",
        "texts.txt line 3",
    ]
    assert first["plain"]["nearest"][0]["document"] == "all.jsonl line 1"
    assert first["plain"]["nearest"][0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert first["adapter"]["loss"] != first["plain"]["loss"], "the adapter takes part"
    assert found["adapter"]["model"] == "LlamaForCausalLM"
    assert first["classes"]["said"]["class"].startswith("LABEL_")


def test_what_is_cut_off_is_told_by_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, into = write_llama(tmp_path / "model", positions=16), tmp_path / "new" / "folder"
    assert main(["attribute", str(folder), "--text", "Hello " * 40, "--into", str(into)]) == 0
    assert "note: 1 of 1 texts are longer than 16 tokens" in capsys.readouterr().out
    assert {path.name for path in into.iterdir()} == {JSON, PAGE}
    assert not (folder / PAGE).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "there is no text to explain; give one by --text"),
        (["--texts", "none.txt"], "--texts none.txt: No such file"),
        (
            ["--text", "Hello world", "--documents", "/none"],
            "--documents file:///none: no such folder or file",
        ),
        (["--text", "H"], "--text 1 has 1 tokens, and at least 2 are needed"),
        (["--text", "Hello world", "--into", "/proc/none"], "/proc/none: "),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    folder = write_llama(tmp_path / "model")
    assert main(["attribute", str(folder), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_says_nothing_known_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = transformers.BertConfig(vocab_size=50, hidden_size=16, intermediate_size=16, **BASE)
    transformers.BertModel(config).save_pretrained(tmp_path)
    assert main(["attribute", str(tmp_path), "--text", "Hello"]) == 2
    assert "holds BertModel, which nobody knows here" in capsys.readouterr().err
