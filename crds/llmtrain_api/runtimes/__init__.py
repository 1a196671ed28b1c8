"""What a runtime makes of a job: the spec with its defaults, and what is beyond its bounds."""

from .bounds import beyond, claim_beyond
from .manifest import InvalidRuntime, Runtime, on_record, parse_runtime, read_runtime
from .merge import effective

__all__ = [
    "InvalidRuntime",
    "Runtime",
    "beyond",
    "claim_beyond",
    "effective",
    "on_record",
    "parse_runtime",
    "read_runtime",
]
