"""What an API server refuses at create: names it cannot hold, manifests that are not ours to run."""

from __future__ import annotations

import re

from llmtrain_api import InvalidJob, parse_manifest
from llmtrain_api.names import GROUP, PLURAL

from ..kube.api import ApiError, Object

LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN_1123 = re.compile(rf"{LABEL_1123.pattern}(\.{LABEL_1123.pattern})*")
LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_LENGTH, SUBDOMAIN_LENGTH = 63, 253


def admit(resource: str, body: Object) -> None:
    """Check a new object.

    Raises:
        ApiError: 422, as the real API server answers.
    """
    name = str(body.get("metadata", {}).get("name", ""))
    pattern, longest = (
        (LABEL_1035, LABEL_LENGTH) if resource == "services" else (SUBDOMAIN_1123, SUBDOMAIN_LENGTH)
    )
    if len(name) > longest or not pattern.fullmatch(name):
        raise invalid(resource, name, f"metadata.name: Invalid value: {name!r}")
    if resource == "pods":
        _admit_pod(name, body)
    elif resource == PLURAL:
        try:
            parse_manifest(body)
        except InvalidJob as error:
            raise invalid(resource, name, str(error)) from None


def _admit_pod(name: str, body: Object) -> None:
    spec = body.get("spec", {})
    host = spec.get("hostname", "")
    if host and (len(host) > LABEL_LENGTH or not LABEL_1123.fullmatch(host)):
        raise invalid("pods", name, f"spec.hostname: Invalid value: {host!r}")
    if not spec.get("containers"):
        raise invalid("pods", name, "spec.containers: Required value")


def invalid(resource: str, name: str, why: str) -> ApiError:
    """422 in the server's words."""
    return ApiError(422, "Invalid", f"{qualified(resource)} {name!r} is invalid: {why}")


def qualified(resource: str) -> str:
    """The resource as the server's messages call it."""
    return f"{resource}.{GROUP}" if resource == PLURAL else resource
