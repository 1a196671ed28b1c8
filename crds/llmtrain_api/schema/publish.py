"""``spec.output.publish``: where the export is pushed: a model hub, a registry of images, or MLflow's."""

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
ONE_PLACE = "name one place to push to: hub, oci or mlflow"


def _places(found: PublishSpec) -> str | None:
    named = [one for one in (found.hub, found.oci, found.mlflow) if one is not None]
    return None if len(named) == 1 else ONE_PLACE


class MlflowPlace(RuledModel):
    """A model of MLflow's registry, which gets the export as a new version."""

    uri: str = Field(
        max_length=512, description="The server, such as https://mlflow.example.com. Its files go through it."
    )
    model: str = Field(max_length=128, description="The registered model; it is made where it is not there.")
    experiment: str = Field(
        default="llmtrain",
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]*$",
        description="Experiment with the run that keeps the files: that of a tracker of the job, where there "
        "is one.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "uri",
            ".uri",
            r"https?://[^\s/@?#]+(/[^\s@?#]*)?",
            "use the address of the server, such as https://mlflow.example.com, without a user or a query",
        ),
        matches(
            "model",
            ".model",
            r"[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9])?",
            "use letters, digits, spaces, '.', '_' and '-', such as helpdesk",
        ),
    )


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
    mlflow: MlflowPlace | None = Field(
        default=None,
        description="A model of MLflow's registry. Its library must be in the trainer's image: one built "
        "from the usual one with pip install mlflow-skinny.",
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
        "(kubernetes.io/basic-auth) or .dockerconfigjson (kubernetes.io/dockerconfigjson); for MLflow "
        "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. Only node 0's pod "
        "gets it. Default: HF_TOKEN of the pod's environment; nobody, elsewhere.",
    )

    @property
    def version(self) -> str | None:
        """The branch or tag that gets it; None of MLflow, which counts versions."""
        if self.mlflow is not None:
            return None
        return self.revision or MAIN if self.hub else self.tag or LATEST

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("[has(self.hub), has(self.oci), has(self.mlflow)].exists_one(one, one)", "", ONE_PLACE, _places),
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
