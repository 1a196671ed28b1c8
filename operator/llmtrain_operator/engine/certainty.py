"""Of which jobs every pod is known: the API server need not be asked before their next gang is created."""

from __future__ import annotations

from llmtrain_api import JobStatus


class Certainty:
    """What makes a job's pods certain, and what makes them doubtful again.

    A pod that nobody knows of can only come from a create whose answer was lost: one of this process, or any
    of a process before it. So a job is certain from the moment that this process itself puts its first pods
    on record, as nobody can have created one before, or from a list of its pods; until an answer is lost, or
    somebody else turns out to write the job's status. All that this process knows nothing of is in doubt.
    """

    def __init__(self) -> None:
        self._certain: set[str] = set()

    def __contains__(self, uid: str) -> bool:
        return uid in self._certain

    def wrote(self, uid: str, old: JobStatus, new: JobStatus) -> None:
        """A status of ours was taken, on the version of the job that it was made for."""
        if not _has_begun(old) and _has_begun(new):
            self._certain.add(uid)

    def listed(self, uid: str) -> None:
        """The API server told all pods of the job."""
        self._certain.add(uid)

    def doubt(self, uid: str) -> None:
        """An answer is missing, the job is written by others, or it is gone."""
        self._certain.discard(uid)


def _has_begun(status: JobStatus) -> bool:
    """Whether there may be pods: each is on record before it is created."""
    return status.attempt is not None or status.setup is not None
