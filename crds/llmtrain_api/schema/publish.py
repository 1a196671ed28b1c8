"""``spec.output.publish``: where on a model hub the export is pushed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import Rule, RuledModel
from .locations import HUB_NAME, matches
from .scheduling import ObjectName

MAIN = "main"
BRANCH = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"


class PublishSpec(RuledModel):
    """A repository of a model hub. Whether the push succeeds is no part of whether the job does."""

    hub: str = Field(
        max_length=193, description="The repository, OWNER/NAME; it is made where it is not there."
    )
    private: bool = Field(
        default=True,
        description="Whether a repository that is made can be seen by its owner alone. One that is there "
        "stays as it is.",
    )
    revision: str | None = Field(
        default=None, max_length=128, description="Branch that gets the commit. Default: main."
    )
    secret: ObjectName | None = Field(
        default=None,
        description="Secret in the job's namespace with HF_TOKEN of somebody who may write there, and "
        "HF_ENDPOINT for a hub that is not huggingface.co. Only node 0's pod gets it. Default: HF_TOKEN of "
        "the pod's environment.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches("hub", ".hub", f"{HUB_NAME}/{HUB_NAME}", "use OWNER/NAME, such as acme/helpdesk"),
        matches(
            "revision",
            ".revision",
            BRANCH,
            "use the name of a branch: letters, digits, '.', '_' and '-', such as v2",
            optional=True,
        ),
    )
