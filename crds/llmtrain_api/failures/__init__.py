"""Failures that people have had before, as data: how each is recognised, what it is and what helps."""

from .exits import all_exits, of_exit
from .gpus import COLLECTIVES, GPUS
from .known import KnownFailure, first
from .pods import CONTAINERS, ENDED, IMAGES, PODS, SCHEDULING
from .processes import PROCESSES, PROGRAM
from .storage import FILES, STORES

__all__ = [
    "COLLECTIVES",
    "CONTAINERS",
    "ENDED",
    "FILES",
    "GPUS",
    "IMAGES",
    "PODS",
    "PROCESSES",
    "PROGRAM",
    "SCHEDULING",
    "STORES",
    "KnownFailure",
    "all_exits",
    "first",
    "of_exit",
]
