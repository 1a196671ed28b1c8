"""The registry of model families: the one place that other tables are checked against."""

from __future__ import annotations

from harness.jobs import manifest

from llmtrain_api import BuiltinModel, InvalidJob, Layout, layout_of, parse_spec, shape_of
from llmtrain_api.families import BUILTIN, FAMILIES
from llmtrain_api.layouts.proven import table
from llmtrain_api.rules import layout_mistake
from llmtrain_api.shape import TIED


def test_a_manifest_may_name_each_family_and_no_other() -> None:
    assert set(BuiltinModel) == BUILTIN.keys()
    assert len({family.builtin for family in FAMILIES.values() if family.builtin}) == len(BUILTIN)


def test_the_table_of_proven_layouts_speaks_of_each_variant_and_of_no_other() -> None:
    variants = {family.variant(switches) for family in BUILTIN.values() for switches in ((), (TIED,))}
    assert {row["family"] for row in table()} >= variants


def test_a_shape_is_of_the_jobs_sizes_and_its_parameters_are_counted() -> None:
    sizes = {"name": "builtin://tiny-gpt2", "hiddenSize": 64, "numHeads": 2, "numLayers": 3, "vocabSize": 300}
    shape = shape_of(parse_spec(manifest(model=sizes)["spec"], strict=True))
    assert (shape.architecture, shape.hidden, shape.head_size, shape.kv_heads) == (
        "GPT2LMHeadModel",
        64,
        32,
        2,
    )
    assert (shape.width, shape.positions, shape.tied) == (256, 128, True)
    block = 64 * 3 * 64 + 3 * 64 + 64 * 64 + 64 + 2 * 64 * 256 + 256 + 64 + 4 * 64
    assert shape.parameters == 300 * 64 + 128 * 64 + 3 * block + 2 * 64


def test_a_rule_of_the_family_names_the_models_field() -> None:
    for field, value in (("numKvHeads", 2), ("tiedEmbeddings", True)):
        try:
            parse_spec(manifest(model={"name": "builtin://tiny-t5", field: value})["spec"], strict=True)
        except InvalidJob as invalid:
            [said] = invalid.mistakes
            assert said.startswith(
                f"spec.model.{field}: {field} is for Llama, Qwen and LLaVA models; remove it"
            )
        else:
            raise AssertionError(f"{field} of T5 was accepted")


def test_ranks_may_run_in_any_layout_that_is_proven_and_of_their_number() -> None:
    spec = parse_spec(manifest()["spec"], strict=True)
    assert layout_of(shape_of(spec), spec) == Layout(data=2, zero=0)
    assert layout_mistake(spec, shape_of(spec), Layout(data=2, zero=1)) is None
    assert layout_mistake(spec, shape_of(spec), Layout(data=2, zero=2)) is None
    assert layout_mistake(spec, shape_of(spec), Layout(tensor=2)) is None
    assert "is of 4 ranks, and the job has 2" in (layout_mistake(spec, shape_of(spec), Layout(data=4)) or "")
    assert "no pipeline with ZeRO 2" in (
        layout_mistake(spec, shape_of(spec), Layout(pipeline=2, zero=2)) or ""
    )
    t5 = parse_spec(manifest(model={"name": "builtin://tiny-t5"})["spec"], strict=True)
    assert "AutoTP leaves part of T5's attention bias" in (
        layout_mistake(t5, shape_of(t5), Layout(tensor=2)) or ""
    )


def test_compiled_layers_ask_for_a_proof_of_their_own() -> None:
    training = {"maxSteps": 20, "compile": True}
    spec = parse_spec(manifest(training=training)["spec"], strict=True)
    assert layout_mistake(spec, shape_of(spec), Layout(data=2, zero=1)) is None
    assert "cut compiled code into pieces" in (
        layout_mistake(spec, shape_of(spec), Layout(data=2, zero=3)) or ""
    )
