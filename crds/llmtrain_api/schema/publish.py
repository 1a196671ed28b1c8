"""``spec.output.publish``: where the export is pushed: a model hub, or a registry of container images."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import Rule, RuledModel
from .locations import HUB_NAME, matches
from .scheduling import ObjectName

MAIN, LATEST = "main", "latest"
BRANCH = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_LABEL, _PORT = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", r":[0-9]{1,5}"
REGISTRY = rf"({_LABEL}(\.{_LABEL})+({_PORT})?|localhost({_PORT})?|{_LABEL}{_PORT})"
"""A registry's host: a name without a dot and a port would be the first part of the repository."""
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = rf"{REGISTRY}(/{_PART})+"
ONE_PLACE = "name one place to push to: hub or oci"


def _places(found: PublishSpec) -> str | None:
    return None if (found.hub is None) != (found.oci is None) else ONE_PLACE


class PublishSpec(RuledModel):
    """One place that the export is pushed to. Whether that succeeds is no part of whether the job does."""

    hub: str | None = Field(
        default=None,
        max_length=193,
        description="The repository of a model hub, OWNER/NAME; it is made where it is not there.",
    )
    oci: str | None = Field(
        default=None,
        max_length=255,
        description="The repository of a registry of container images, HOST/REPOSITORY, such as "
        "registry.example.com/team/helpdesk: the export becomes an image with the files below /models.",
    )
    private: bool = Field(
        default=True,
        description="Whether a repository of a hub that is made can be seen by its owner alone. One that is "
        "there stays as it is.",
    )
    revision: str | None = Field(
        default=None, max_length=128, description="Branch of a hub that gets the commit. Default: main."
    )
    tag: str | None = Field(
        default=None, max_length=128, description="Tag of a registry that names the image. Default: latest."
    )
    secret: ObjectName | None = Field(
        default=None,
        description="Secret in the job's namespace of somebody who may write there. For a hub HF_TOKEN, and "
        "HF_ENDPOINT for one that is not huggingface.co; for a registry username and password "
        "(kubernetes.io/basic-auth) or .dockerconfigjson (kubernetes.io/dockerconfigjson). Only node 0's pod "
        "gets it. Default: HF_TOKEN of the pod's environment; nobody, at a registry.",
    )

    @property
    def version(self) -> str:
        """The branch or tag that gets it."""
        return self.revision or MAIN if self.hub else self.tag or LATEST

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.hub) != has(self.oci)", "", ONE_PLACE, _places),
        matches(
            "hub", ".hub", f"{HUB_NAME}/{HUB_NAME}", "use OWNER/NAME, such as acme/helpdesk", optional=True
        ),
        matches(
            "oci",
            ".oci",
            REPOSITORY,
            "use HOST/REPOSITORY in lowercase, such as registry.example.com/team/helpdesk; what comes after "
            "a ':' is output.publish.tag",
            optional=True,
        ),
        matches(
            "revision",
            ".revision",
            BRANCH,
            "use the name of a branch: letters, digits, '.', '_' and '-', such as v2",
            optional=True,
        ),
        matches("tag", ".tag", TAG, "use letters, digits, '.', '_' and '-', such as v2", optional=True),
        Rule(
            "!has(self.revision) || has(self.hub)",
            ".revision",
            "only a hub has branches; use tag for a registry",
            lambda found: (
                f"got {found.revision!r}, but only a hub has branches; use tag for a registry"
                if found.revision is not None and found.hub is None
                else None
            ),
        ),
        Rule(
            "!has(self.tag) || has(self.oci)",
            ".tag",
            "only a registry of images has tags; use revision for a hub",
            lambda found: (
                f"got {found.tag!r}, but only a registry of images has tags; use revision for a hub"
                if found.tag is not None and found.oci is None
                else None
            ),
        ),
    )
