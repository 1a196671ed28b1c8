"""How a hub or a bucket is reached, and what it is to be refused by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from llmtrain_api.names import MODEL_SECRET_PREFIX

from ..errors import ConfigError

HUB_FIX = "name a Secret in spec.model.secret that holds HF_TOKEN, of somebody who was given access"
BUCKET_FIX = (
    "name a Secret in spec.model.secret that holds AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a store "
    "that is not Amazon's, AWS_ENDPOINT_URL"
)
_SECRETS = (
    "HF_TOKEN",
    "HF_ENDPOINT",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
)


def go_online(prefix: str = MODEL_SECRET_PREFIX) -> None:
    """Let this process reach the hub, as a Secret says. Called before the hub's library is loaded.

    Ranks are forced offline: nothing may be asked of a hub while GPUs are held.

    Args:
        prefix: what the variables of the Secret begin with.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    for name in _SECRETS:
        if value := os.environ.get(prefix + name):
            os.environ[name] = value


@contextmanager
def told(where: str) -> Iterator[None]:
    """What the hub or a bucket refuses for good, as a mistake of the job.

    Raises:
        ConfigError: something that is not there, or that may not be read.
        OSError: the way to it is broken, which a retry may help.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise _meant(error, where) from error


def _meant(error: Exception, where: str) -> Exception:
    kind, status = type(error).__name__, getattr(getattr(error, "response", None), "status_code", None)
    fix = BUCKET_FIX if "s3://" in where else HUB_FIX
    if kind == "GatedRepoError" or isinstance(error, PermissionError) or status == 403:
        return ConfigError(f"{where} may not be read with the token that there is", fix)
    if kind == "RevisionNotFoundError":
        return ConfigError(
            f"{where} has no such revision", "set spec.model.revision to a branch, tag or commit"
        )
    # the hub says 401 of what is not there, so as not to tell what is
    if kind == "RepositoryNotFoundError" or status in (401, 404) or isinstance(error, FileNotFoundError):
        return ConfigError(
            f"{where} is not there, or is private",
            f"check its name (a folder is pvc://CLAIM/FOLDER or file:///FOLDER), or {fix}",
        )
    if kind == "HFValidationError":
        return ConfigError(f"{where} is no name of a model", "write OWNER/NAME")
    said = next(iter(str(error).strip().splitlines()), kind)
    return OSError(f"{where}: {kind}: {said[:300]}")
