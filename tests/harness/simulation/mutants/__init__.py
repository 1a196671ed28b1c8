"""Bugs planted one at a time: the suite must find every one of them."""

from . import (
    before_gang,
    caches,
    cluster,
    elastic,
    kueueing,
    lifecycle,
    planted,
    preempting,
    queueing,
    rules,
    runtimes,
)

MUTANTS = planted.MUTANTS
"""All of them, by name."""
__all__ = [
    "MUTANTS",
    "before_gang",
    "caches",
    "cluster",
    "elastic",
    "kueueing",
    "lifecycle",
    "planted",
    "preempting",
    "queueing",
    "rules",
    "runtimes",
]
