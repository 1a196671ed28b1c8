"""A push to a model hub: one commit with all of the export, or none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, PublishedResult
from llmtrain_api.names import PUBLISH_SECRET_PREFIX
from llmtrain_api.schema.publish import MAIN, PublishSpec

from ...pretrained.access import go_online
from . import tries
from .masking import causes, told
from .provider import Refused

WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]
"""Weights in the repository that the export does not have are removed: whoever opened it would find those of
another model."""
FIX = (
    "give it the HF_TOKEN of somebody who may write to {hub}: in a cluster by a Secret that "
    "spec.output.publish.secret names, on a laptop in the environment"
)
BY_HAND = "the model is in the output; push it by `hf upload {hub} FOLDER/export`"


def prepare_process() -> None:
    """Settings that the hub's library reads when it is loaded."""
    go_online(PUBLISH_SECRET_PREFIX)
    # a folder is one commit then, which is there whole or not at all
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


class NoToken(Exception):
    """There is none to write with."""


class HubPush:
    """One folder and the repository where it goes.

    Args:
        job: whose export it is.
        asked: where it goes.
        folder: the export.
    """

    def __init__(self, job: JobFile, asked: PublishSpec, folder: Path) -> None:
        self.job, self.asked, self.folder = job, asked, folder
        self.target, self.revision = asked.hub or "", asked.version or MAIN
        self.mark = f"LLMTrainingJob {job.job.uid}"

    def push(self) -> PublishedResult:
        """Push it, or find the commit that an earlier try has made without hearing of it."""
        from huggingface_hub import HfApi, get_token

        token = get_token()
        if not token:
            raise NoToken("there is no HF_TOKEN")
        _never_wait_for_ever()
        api, hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token), self.target
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
        return PublishedResult(hub=self.target, revision=self.revision, commit=commit, url=url)

    def refused(self, error: Exception) -> Refused:
        """What an error of the library means."""
        every = list(causes(error))
        statuses = [getattr(getattr(one, "response", None), "status_code", None) for one in every]
        status = next((one for one in statuses if one is not None), None)
        words = told(every[-1], [os.environ.get("HF_TOKEN")])
        fix, by_hand = FIX.format(hub=self.target), BY_HAND.format(hub=self.target)
        if isinstance(error, NoToken):
            return Refused(str(error), True, fix)
        if status is not None:
            helps = fix if status in tries.NO_ACCESS else by_hand
            return Refused(f"the hub answers {status} ({words})", status in tries.FOR_GOOD, helps)
        wrong = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)
        return Refused(words, wrong, by_hand)


def _never_wait_for_ever() -> None:
    """Give each request of the library a time to be silent at most."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def bounded() -> Any:
        client = default_client_factory()
        client.timeout = tries.SILENT_SECONDS
        return client

    set_client_factory(bounded)
