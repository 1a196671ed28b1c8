"""A dataset of several sources: what may be asked for, and what weights become."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from harness.bad_manifests import BOOKS, STDLIB, mixed
from harness.jobs import manifest
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import InvalidJob, JobSpec, parse_manifest
from llmtrain_api.schema import mixture_shares
from llmtrain_api.schema.mixture_shares import BLOCK, LONGEST, TOLERANCE, apportioned, errors, parts


def spec(*sources: dict[str, object]) -> JobSpec:
    return parse_manifest(mixed(*sources))[1]


def refused(*sources: dict[str, object]) -> str:
    with pytest.raises(InvalidJob) as caught:
        spec(*sources)
    return str(caught.value)


def test_a_mixture_is_valid_and_survives_a_round_trip() -> None:
    made = spec(STDLIB, BOOKS)
    assert made.dataset.name is None
    assert [(s.name, s.weight, s.max_bytes) for s in made.dataset.sources] == [
        ("builtin://python-stdlib", 1, None),
        ("pvc://texts/books", 2.5, 50_000),
    ]
    assert made.dataset.parts == (2, 5)
    assert JobSpec.model_validate(made.to_json(), extra="forbid") == made


def test_a_dataset_with_a_name_is_one_source_and_is_written_as_before() -> None:
    dataset = parse_manifest(manifest())[1].dataset
    assert [(s.name, s.max_bytes) for s in dataset.sources] == [("builtin://python-stdlib", None)]
    assert dataset.parts == (1,)
    assert dataset.to_json() == {
        "name": "builtin://python-stdlib",
        "heldOutFraction": 0.05,
    }


def test_a_folder_named_with_and_without_its_last_slash_is_named_twice() -> None:
    said = refused(BOOKS, BOOKS | {"name": f"{BOOKS['name']}/"})
    assert "spec.dataset.mixture: pvc://texts/books is named twice" in said


def test_a_share_that_no_block_keeps_is_refused_with_its_numbers() -> None:
    said = refused(STDLIB | {"weight": 100_000}, BOOKS | {"weight": 1.5})
    assert "spec.dataset.mixture: weight 1.5 of pvc://texts/books is 0.0015 % of the sum" in said
    assert "would come to 0.01 %" in said
    assert "raise it, or remove the source" in said
    assert "weight 4.94066e-324 of pvc://texts/books is 0 %" in refused(
        STDLIB | {"weight": 1e6}, BOOKS | {"weight": 5e-324}
    )
    assert spec(STDLIB | {"weight": 9_999}, BOOKS | {"weight": 1}).dataset.parts == (9_900, 1)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((5.0,), (1,)),
        ((0.75, 0.25), (3, 1)),
        ((0.1, 0.2, 0.7), (1, 2, 7)),
        ((1.0, 1.0, 1.0), (1, 1, 1)),
        ((0.333, 0.333, 0.334), (333, 333, 334)),
        ((2.0, 1e6), (1, 500_000)),
        ((1 / 3, 2 / 3), (1, 2)),
        ((3.14159, 2.71828, 1.41421), (371, 321, 167)),
        ((1.0, 2000.0), (1, 1981)),
    ],
    ids=str,
)
def test_weights_become_the_same_whole_numbers_in_every_version(
    weights: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    """Checkpoints count on it."""
    if sum(expected) > LONGEST:
        assert max(errors(weights)) > TOLERANCE
    else:
        assert parts(weights) == expected


def test_weights_are_what_was_written() -> None:
    """A tenth is no float, but it is a tenth of a block."""
    assert errors((0.1, 0.2, 0.7)) == [0, 0, 0]


numbers = st.floats(0.01, 100).map(lambda weight: float(f"{weight:.3g}"))


@given(st.lists(numbers, min_size=1, max_size=8))
def test_shares_are_kept_within_the_tolerance(weights: list[float]) -> None:
    counts = parts(tuple(weights))
    assert min(counts) >= 1
    assert sum(counts) <= LONGEST
    for weight, count, error in zip(weights, counts, errors(tuple(weights)), strict=True):
        asked = weight / sum(weights)
        assert count / sum(counts) == pytest.approx(asked, rel=error + 1e-9)
        assert error <= TOLERANCE or asked < 0.01
    assert sum(counts) <= BLOCK or min(weights) / sum(weights) < 0.06


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=64), st.integers(0, 2000))
def test_places_are_given_out_to_the_last_and_at_least_one_each(weights: list[int], more: int) -> None:
    places = len(weights) + more
    counts = apportioned(weights, places)
    assert sum(counts) == places
    assert min(counts) >= 1
    up = [-(-weight * places // sum(weights)) for weight in weights]
    assert all(count <= most for count, most in zip(counts, up, strict=True))
    if all(weight * places >= sum(weights) for weight in weights):
        assert all(count >= most - 1 for count, most in zip(counts, up, strict=True))


def lengths_judged(weights: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many blocks were looked at, and how many of them made, to decide what the weights become."""
    looked, made = 0, 0
    lengths, apportion = mixture_shares._lengths, mixture_shares.apportioned

    def counted_lengths(whole: Sequence[int]) -> Iterator[int]:
        nonlocal looked
        for places in lengths(whole):
            looked += 1
            yield places

    def counted_apportioned(whole: Sequence[int], places: int) -> tuple[int, ...]:
        nonlocal made
        made += 1
        return apportion(whole, places)

    monkeypatch.setattr(mixture_shares, "_lengths", counted_lengths)
    monkeypatch.setattr(mixture_shares, "apportioned", counted_apportioned)
    parts.cache_clear()
    parts(weights)
    monkeypatch.undo()
    return looked, made


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("largest", [1, 60, 150, 1e6])
def test_hostile_weights_cost_a_bounded_number_of_blocks(
    monkeypatch: pytest.MonkeyPatch, seed: int, largest: float
) -> None:
    chance = random.Random(seed)
    hostile = (*(round(chance.uniform(1, 1.9), 15) for _ in range(63)), 1.5 * largest)
    looked, made = lengths_judged(hostile, monkeypatch)
    assert looked <= BLOCK + 400
    assert made <= 300
    assert lengths_judged((3.0, 1.0, 0.5), monkeypatch) == (1, 1)


def test_a_weight_has_eight_digits_that_count() -> None:
    assert parts((0.123456781, 1.0)) == parts((0.12345678, 1.0))
    assert max(len(str(n)) for n in mixture_shares._whole((1e6, 1e-6, 0.123456789012345))) <= 22
