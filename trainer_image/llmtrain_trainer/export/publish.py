"""The export on a model hub: one commit with all of it, or none; pushed once whatever restarts.

A hub that says no, or that is away, never fails the job: what became of the push is put on record. No torch.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from llmtrain_api import JobFile, PublishedResult
from llmtrain_api.names import PUBLISH_SECRET_PREFIX
from llmtrain_api.schema.publish import MAIN, PublishSpec

from .. import log
from ..files import write_json
from ..pretrained.access import go_online
from ..records import PublishedRecord, record_or_none
from ..storage.start_marker import Start

TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 5.0, 120.0
SILENT_SECONDS = 120.0
"""A request without a byte for so long has failed: the library itself would wait for ever."""
WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]
"""Weights in the repository that the export does not have are removed: whoever opened it would find those of
another model."""
FOR_GOOD = frozenset({400, 401, 402, 403, 404, 410, 413, 422})
"""Answers that another try does not change."""
FIX = (
    "give it the HF_TOKEN of somebody who may write to {hub}: in a cluster by a Secret that "
    "spec.output.publish.secret names, on a laptop in the environment"
)
BY_HAND = "the model is in the output; push it by `hf upload {hub} FOLDER/export`"
_QUERY = re.compile(r"\?\S+")
_SECRET = re.compile(r"hf_\w+|(?i:bearer\s+\S+)")


def prepare_process() -> None:
    """Settings that the hub's library reads when it is loaded."""
    go_online(PUBLISH_SECRET_PREFIX)
    # a folder is one commit then, which is there whole or not at all
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def publish(job: JobFile, start: Start, sleep: Callable[[float], None] = time.sleep) -> PublishedResult:
    """Push the folder, unless it was pushed before, and put on record what became of it.

    Raises:
        Fenced: a newer attempt owns the output, and pushes it.
    """
    asked, output = job.spec.output.publish, start.output
    assert asked is not None
    known = record_or_none(output.published, PublishedRecord)
    if known is not None and known.job_uid == job.job.uid and known.published.commit:
        log.get().info("the export was pushed before", commit=known.published.commit)
        return known.published
    start.fence.check()
    found = _pushed(_Push(job, asked, output.export), sleep)
    write_json(output.published, PublishedRecord(job_uid=job.job.uid, published=found).to_json())
    return found


def _pushed(push: _Push, sleep: Callable[[float], None]) -> PublishedResult:
    """Try a few times; never an error."""
    wait, number = FIRST_WAIT, 1
    while True:
        try:
            found = push()
            log.get().info("the export is pushed", hub=found.hub, commit=found.commit, url=found.url)
            return found
        except Exception as error:  # whatever a hub, a proxy or the library does: the model is there
            refused = _refused(error)
            log.get().warning("the push has failed", hub=push.asked.hub, number=number, error=refused.words)
            if refused.for_good or number == TRIES:
                return push.failed(f"{refused.words}; {refused.fix.format(hub=push.asked.hub)}")
        sleep(wait)
        wait, number = min(2 * wait, LONGEST_WAIT), number + 1


class _Refused(NamedTuple):
    words: str
    for_good: bool
    fix: str


def _refused(error: Exception) -> _Refused:
    """What an error of the library means, without a word of a token or of a signed URL."""
    causes = list(_causes(error))
    statuses = [getattr(getattr(one, "response", None), "status_code", None) for one in causes]
    status = next((one for one in statuses if one is not None), None)
    if isinstance(error, NoToken):
        return _Refused(str(error), True, FIX)
    if status is not None:
        fix = FIX if status in (401, 403, 404) else BY_HAND
        return _Refused(f"the hub answers {status} ({_said(causes[-1])})", status in FOR_GOOD, fix)
    wrong = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)
    return _Refused(_said(causes[-1]), wrong, BY_HAND)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """It and what it comes from, which alone may tell."""
    while error is not None:
        yield error
        error = error.__cause__


def _said(error: BaseException) -> str:
    """Its kind and its first line."""
    line = next(iter(str(error).strip().splitlines()), "")
    line = _SECRET.sub("***", _QUERY.sub("", line))
    if token := os.environ.get("HF_TOKEN"):
        line = line.replace(token, "***")
    return f"{type(error).__name__}: {line[:200]}" if line else type(error).__name__


def _never_wait_for_ever() -> None:
    """Give each request of the library a time to be silent at most."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def bounded() -> Any:
        client = default_client_factory()
        client.timeout = SILENT_SECONDS
        return client

    set_client_factory(bounded)


class NoToken(Exception):
    """There is none to write with."""


class _Push:
    """One folder and where it goes.

    Args:
        job: whose export it is.
        asked: where it goes.
        folder: the export.
    """

    def __init__(self, job: JobFile, asked: PublishSpec, folder: Path) -> None:
        self.job, self.asked, self.folder = job, asked, folder
        self.revision = asked.revision or MAIN
        self.mark = f"LLMTrainingJob {job.job.uid}"

    def __call__(self) -> PublishedResult:
        """Push it, or find the commit that an earlier try has made without hearing of it."""
        from huggingface_hub import HfApi, get_token

        token = get_token()
        if not token:
            raise NoToken("there is no HF_TOKEN")
        _never_wait_for_ever()
        api, hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token), self.asked.hub
        api.create_repo(hub, private=self.asked.private, exist_ok=True)
        if self.asked.revision is not None:
            api.create_branch(hub, branch=self.asked.revision, exist_ok=True)
        for commit in api.list_repo_commits(hub, revision=self.revision):
            if self.mark in commit.message:
                return self._done(commit.commit_id, f"{api.endpoint}/{hub}/commit/{commit.commit_id}")
        made = api.upload_folder(
            repo_id=hub,
            folder_path=self.folder,
            revision=self.revision,
            commit_message=f"Train {self.job.job.name}",
            commit_description=self.mark,
            delete_patterns=WEIGHTS,
        )
        return self._done(made.oid, made.commit_url)

    def _done(self, commit: str, url: str) -> PublishedResult:
        return PublishedResult(hub=self.asked.hub, revision=self.revision, commit=commit, url=url)

    def failed(self, error: str) -> PublishedResult:
        """What is told of a push that did not succeed."""
        return PublishedResult(hub=self.asked.hub, revision=self.revision, error=error[:512])
