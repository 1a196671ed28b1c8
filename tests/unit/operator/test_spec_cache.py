"""Specs that were read are remembered, and their bytes are bounded."""

from __future__ import annotations

import json

from harness.jobs import manifest

from llmtrain_operator.plan.spec_cache import ReadSpec, SpecCache


def test_the_oldest_specs_go_when_the_bytes_are_used_up() -> None:
    reads: list[bytes] = []

    def read(raw: bytes, file_outputs: bool) -> ReadSpec:
        reads.append(raw)
        return None, (str(file_outputs),)

    cache = SpecCache(read, max_bytes=100)
    first, second, third = (bytes([n]) * 40 for n in range(3))
    assert cache.read(first, True) == (None, ("True",))
    assert cache.read(first, False) == (None, ("False",))
    assert len(reads) == 2, "the same JSON is another spec elsewhere"
    cache.read(first, True)
    cache.read(second, True)
    assert cache.held_bytes == 80
    cache.read(first, True)
    assert len(reads) == 3, "what was used last is still there"
    cache.read(third, True)
    cache.read(second, True)
    assert reads[3:] == [third, second]


def test_a_spec_larger_than_the_cache_is_read_and_not_held() -> None:
    cache = SpecCache(lambda raw, _: (None, (raw.decode(),)), max_bytes=100)
    raw = json.dumps(manifest()).encode()
    assert len(raw) > 100
    assert cache.read(raw, True) == (None, (raw.decode(),))
    assert cache.held_bytes == 0
