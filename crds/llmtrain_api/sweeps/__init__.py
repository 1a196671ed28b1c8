"""What a sweep is made of: its trials, and the job of each."""

from .manifest import InvalidSweep, Sweep, parse_sweep, read_sweep
from .trials import Trial, digest_of, job_name, job_of, metric_of, minimizes, rounds_of, trials_of

__all__ = [
    "InvalidSweep",
    "Sweep",
    "Trial",
    "digest_of",
    "job_name",
    "job_of",
    "metric_of",
    "minimizes",
    "parse_sweep",
    "read_sweep",
    "rounds_of",
    "trials_of",
]
