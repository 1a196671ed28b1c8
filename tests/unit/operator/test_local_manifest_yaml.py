"""One text is one document, on a laptop and in a cluster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from harness.yaml_scalars import SCALARS
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import InvalidJob, parse_manifest
from llmtrain_operator.local.manifest_yaml import dump_all, load, load_all

HEAD = """
apiVersion: llmtrain.dev/v1alpha1
kind: LLMTrainingJob
metadata: {name: x}
"""
JOB = HEAD + "spec: {model: {name: 'builtin://tiny-llama'}, dataset: {name: 'builtin://python-stdlib'}, "
JOB += "output: {uri: 'pvc://out/x'}, %s}"


@pytest.mark.parametrize("text", SCALARS)
def test_a_value_is_what_kubectl_makes_of_it(text: str) -> None:
    found = load(f"a: {text}")["a"]
    assert (found, type(found)) == (SCALARS[text], type(SCALARS[text]))


@pytest.mark.parametrize("text", [".nan", ".inf", "-.Inf", "1e999"])
def test_a_number_that_json_cannot_hold_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"use a (finite|smaller) [\s\S]*line 2"):
        load(f"a: 1\nb: {text}")


def test_names_are_texts_and_merges_merge() -> None:
    assert load("{1: a, true: b, on: c, 1.5: d, x: e}") == {"1": "a", "true": "c", "1.5": "d", "x": "e"}
    assert load("base: &b {x: 1}\nmore: {<<: *b, z: 2}")["more"] == {"x": 1, "z": 2}
    with pytest.raises(yaml.YAMLError, match="must be a text"):
        load("{~: 1}")


def test_one_document_is_read_and_two_are_refused() -> None:
    assert load("---\n# nothing\n---\na: 1\n---\n") == {"a": 1}
    assert load("") is None
    with pytest.raises(yaml.YAMLError, match="2 documents; write one job into each file"):
        load("a: 1\n---\nb: 2\n")
    with pytest.raises(yaml.YAMLError, match="python/object"):
        load("!!python/object/apply:os.system [true]")


@pytest.mark.parametrize(
    ("written", "path", "value"),
    [
        ("training: {maxSteps: 1e3}", ("training", "max_steps"), 1000),
        ("training: {maxSteps: 1_000}", ("training", "max_steps"), 1000),
        ("training: {maxSteps: 010}", ("training", "max_steps"), 8),
        ("training: {maxSteps: 4.0}", ("training", "max_steps"), 4),
        ("training: {maxSteps: 4, learningRate: 1e-3}", ("training", "learning_rate"), 1e-3),
        ("training: {maxSteps: 4, learningRate: 1}", ("training", "learning_rate"), 1.0),
        ("training: {compile: yes}", ("training", "compile"), True),
        ("training: {maxSteps: null, seed: ~}", ("training", "seed"), 0),
        ("nodes: null", ("nodes",), 1),
        ("training: null", ("training", "max_steps"), None),
        ("resources: {cpu: 0.5}", ("resources", "cpu"), "0.5"),
    ],
)
def test_what_the_cluster_accepts_is_accepted(written: str, path: tuple[str, ...], value: Any) -> None:
    found: Any = parse_manifest(load(JOB % written))[1]
    for name in path:
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ('nodes: "1"', "spec.nodes: got '1'; use a whole number, without quotes"),
        ('training: {maxSteps: "4"}', "spec.training.maxSteps: got '4'; use a whole number, without quotes"),
        ("training: {maxSteps: true}", "spec.training.maxSteps: got true; use a whole number"),
        ("training: {maxSteps: 1:30}", "spec.training.maxSteps: got '1:30'; use a whole number"),
        ("training: {maxSteps: 2.5}", "spec.training.maxSteps: got 2.5; use a whole number"),
        ('training: {compile: "no"}', "spec.training.compile: got 'no'; use true or false"),
        (
            'training: {compile: "true"}',
            "spec.training.compile: got 'true'; use true or false, without quotes",
        ),
        ("training: {compile: 1}", "spec.training.compile: got 1; use true or false"),
        (
            'training: {learningRate: "1e-3"}',
            "spec.training.learningRate: got '1e-3'; use a number, without quotes",
        ),
        ("training: {learningRate: yes}", "spec.training.learningRate: got true; use a number"),
        ("training: {betas: 1}", "spec.training.betas: got 1; use a list"),
        ("training: []", "spec.training: got []; use a mapping of fields"),
        ("training: {max_steps: 4}", "spec.training.max_steps: is not a field of this object"),
        ("training: {zeroStage: yes}", "spec.training.zeroStage: got true; use a whole number"),
        ("image: 5", "spec.image: got 5; use a text, in quotes"),
        ("image: ''", "spec.image: is empty"),
    ],
)
def test_what_the_cluster_refuses_is_refused_with_field_and_fix(written: str, mistake: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse_manifest(load(JOB % written))
    [told] = caught.value.mistakes
    assert told.startswith(mistake)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ("{name: x, namespace: ../../../project}", "metadata.namespace"),
        ("{name: x, namespace: %s}" % ("a" * 64), "metadata.namespace"),
        ("{name: x, namespace: A}", "metadata.namespace"),
        ("{name: x, namespace: 5}", "metadata.namespace"),
        ("{name: ../x}", "metadata.name"),
        ("{name: 1}", "metadata.name"),
        ("{}", "metadata.name"),
        ("{name: x, labels: {a: 1}}", "metadata.labels.a"),
        ("{name: x, label: {a: b}}", "metadata.label"),
        ("{name: x}\nstray: 1", "stray"),
    ],
)
def test_metadata_is_what_the_api_server_takes(metadata: str, field: str) -> None:
    document = load((JOB % "nodes: 1").replace("metadata: {name: x}", f"metadata: {metadata}"))
    with pytest.raises(InvalidJob) as caught:
        parse_manifest(document)
    [told] = caught.value.mistakes
    assert told.startswith(field)


def test_what_kubectl_writes_into_metadata_is_read() -> None:
    meta = "{name: x, namespace: team-1, creationTimestamp: null, labels: {a: b}, annotations: {c: 'd'}}"
    found = parse_manifest(load((JOB % "nodes: 1").replace("{name: x}", meta)))[0]
    assert (found.name, found.namespace) == ("x", "team-1")
    assert found.labels == {"a": "b"}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text()
        | st.from_regex(r"[-+.0-9eExob_]{1,8}"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    )
)
def test_what_is_written_is_read_as_it_was(document: Any) -> None:
    assert load_all(dump_all([{"a": document}])) == [{"a": document}]


def test_a_text_that_looks_like_a_number_is_quoted() -> None:
    assert dump_all([{"args": ["--lr", "1e-5", "010", "yes", "plain"]}]) == (
        "args:\n- --lr\n- '1e-5'\n- '010'\n- 'yes'\n- plain\n"
    )
