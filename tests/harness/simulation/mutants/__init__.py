"""Bugs planted one at a time: the suite must find every one of them."""

from . import (
    before_gang,
    caches,
    cluster,
    elastic,
    holds,
    kueueing,
    lifecycle,
    mounts,
    notices,
    planted,
    preempting,
    queueing,
    rules,
    runtimes,
    slow_ranks,
)

MUTANTS = planted.MUTANTS
"""All of them, by name."""
__all__ = [
    "MUTANTS",
    "before_gang",
    "caches",
    "cluster",
    "elastic",
    "holds",
    "kueueing",
    "lifecycle",
    "mounts",
    "notices",
    "planted",
    "preempting",
    "queueing",
    "rules",
    "runtimes",
    "slow_ranks",
]
