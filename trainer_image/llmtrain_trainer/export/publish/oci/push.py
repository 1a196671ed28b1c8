"""One export and the repository of a registry where it goes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import httpx2

from llmtrain_api import JobFile, PublishedResult
from llmtrain_api.schema.publish import LATEST, PublishSpec

from .... import log
from .. import tries
from ..lineage import JOB_UID
from ..masking import causes, told
from ..provider import Refused
from .access import Refusal
from .credentials import Credentials, credentials_for
from .image import Image, image_of
from .reference import Reference
from .registry import Answered, Forgotten, Registry, names_of

STANDARD = "org.opencontainers.image."
ACCESS = (
    "give it the user and password of somebody who may push to {oci}: in a cluster by a Secret of type "
    "kubernetes.io/basic-auth or kubernetes.io/dockerconfigjson that spec.output.publish.secret names, on a "
    "laptop by `docker login {host}`"
)
BY_HAND = (
    "the model is in the output; push it by hand as an image of `FROM scratch` and `COPY export /models`"
)
TOO_LARGE = "let the registry, and the proxy before it, take larger layers (nginx: client_max_body_size 0)"
PAYLOAD = 413


class OciPush:
    """One folder and the repository where it goes.

    Args:
        job: whose export it is.
        asked: where it goes.
        folder: the export.
        lineage: where the model comes from.
    """

    def __init__(self, job: JobFile, asked: PublishSpec, folder: Path, lineage: Mapping[str, str]) -> None:
        self.job, self.asked, self.folder, self.lineage = job, asked, folder, lineage
        self.target, self.tag = asked.oci or "", asked.version or LATEST
        self.reference = Reference.of(self.target)

    @cached_property
    def image(self) -> Image:
        """What is pushed; all of it is read once, whatever number of tries that takes."""
        said = {
            f"{STANDARD}title": self.job.job.name,
            f"{STANDARD}description": f"Model of LLMTrainingJob {self.job.job.namespace}/{self.job.job.name}",
        }
        return image_of(self.folder, self.lineage, said)

    def push(self) -> PublishedResult:
        """Push it, or find the image that an earlier try has made without hearing of it."""
        with Registry(self.reference, self._credentials()) as registry:
            there = registry.manifest(self.tag)
            if there is not None and (JOB_UID, self.job.job.uid) in names_of(there):
                return self._done(f"sha256:{hashlib.sha256(there).hexdigest()}")
            for blob in (*self.image.layers, self.image.config):
                sent = registry.put_blob(blob)
                log.get().info("a layer is in the registry", digest=blob.digest, bytes=blob.size, sent=sent)
            registry.put_manifest(self.tag, self.image.manifest)
        return self._done(self.image.manifest.digest)

    def _credentials(self) -> Credentials | None:
        return credentials_for(self.reference, os.environ)

    def _done(self, digest: str) -> PublishedResult:
        url = f"oci://{self.target}@{digest}"
        return PublishedResult(oci=self.target, revision=self.tag, digest=digest, url=url)

    def refused(self, error: Exception) -> Refused:
        """What an error of the client means."""
        access = ACCESS.format(oci=self.target, host=self.reference.host)
        if isinstance(error, Answered):
            said = f" ({error.said})" if error.said else ""
            words = f"the registry answers {error.status} to {error.to}{said}"
            helps = access if error.status in tries.NO_ACCESS else BY_HAND
            helps = TOO_LARGE if error.status == PAYLOAD else helps
            return Refused(words, error.status in tries.FOR_GOOD, helps)
        if isinstance(error, Refusal):
            denied = error.status in tries.NO_ACCESS
            return Refused(str(error), error.status in tries.FOR_GOOD, access if denied else BY_HAND)
        words = told(list(causes(error))[-1], self._secrets())
        passes = isinstance(error, (Forgotten, httpx2.TransportError, OSError))
        return Refused(words, not passes, BY_HAND)

    def _secrets(self) -> list[str]:
        try:
            found = self._credentials()
        except ValueError:
            return []
        return [found.password, found.basic] if found else []
