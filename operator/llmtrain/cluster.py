"""The API server of a cluster, by the kubeconfig: JSON in, JSON out, and errors as sentences with the fix."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

from llmtrain_api.names import CRD_NAME, GROUP, VERSION

from .errors import (
    AlreadyThere,
    Failed,
    Forbidden,
    LlmtrainError,
    Mistake,
    NotFound,
    Unreachable,
    did_you_mean,
)
from .values import Object

HOLDERS_CONNECTIONS = 16
"""Kept open for all holders of tokens together."""
CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
ANY_JSON = "application/json, */*"
JOBS = f"/apis/{GROUP}/{VERSION}"
NO_CLUSTER = "point KUBECONFIG to your cluster's file or choose one by --context; `llmtrain run` needs none"
SERVICE_ACCOUNT_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


class ApiServer:
    """One API server and who we are to it.

    Args:
        context: of the kubeconfig; None: its current one, or in a pod its ServiceAccount.

    Raises:
        Unreachable: there is no kubeconfig, or none that can be used.
    """

    def __init__(self, context: str | None = None) -> None:
        # heavy: only who talks to a cluster pays for it
        from kubernetes import client, config

        self._token = ""
        self._bare: Any = None
        in_pod = context is None and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
        try:
            if in_pod and not os.environ.get("KUBECONFIG"):
                configuration = client.Configuration()
                config.load_incluster_config(client_configuration=configuration)
                self._client = client.ApiClient(configuration)
                self.namespace = _namespace_of_pod()
            else:
                self.namespace = _namespace_of_context(context)
                self._client = config.new_client_from_config(config_file=_kubeconfig(), context=context)
        except (config.ConfigException, OSError, ValueError, TypeError, KeyError) as error:
            raise Unreachable(f"no cluster is configured ({_first_line(error)}): {NO_CLUSTER}") from None

    def as_holder(self, token: str) -> ApiServer:
        """The same server for whoever holds that token, with no credentials of ours."""
        from kubernetes import client

        if self._bare is None:
            ours, bare = self._client.configuration, client.Configuration()
            # a client certificate of ours would win over the token
            for name in ("host", "ssl_ca_cert", "verify_ssl", "tls_server_name", "proxy", "no_proxy"):
                setattr(bare, name, getattr(ours, name))
            bare.connection_pool_maxsize = HOLDERS_CONNECTIONS
            self._bare = client.ApiClient(bare)
        found = copy.copy(self)
        found._client, found._token = self._bare, token
        return found

    @property
    def address(self) -> str:
        """Base address."""
        return str(self._client.configuration.host)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = ANY_JSON,
    ) -> Object:
        """One call; the JSON that came back."""
        types = (content_type, accept)
        with self._open(method, path, body, query, types, READ_SECONDS) as response:
            content = response.data
        try:
            found: Object = json.loads(content)
        except ValueError:
            raise Unreachable(
                f"{self.address} answers, but is no API server: check the address in the kubeconfig"
            ) from None
        return found

    def lines(self, path: str, query: dict[str, str], seconds: float) -> Iterator[str]:
        """Lines of an answer as they come, until it ends or nothing comes for so long."""
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        with self._open("GET", path, None, query, ("application/json", ANY_JSON), seconds) as response:
            rest = b""
            try:
                for chunk in response.stream(1 << 16, decode_content=True):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from (line.decode(errors="replace") for line in whole)
            except (ReadTimeoutError, HTTPError):
                # a stream that breaks has ended: whoever follows asks again
                pass
            if rest:
                yield rest.decode(errors="replace")

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: Object | None,
        query: dict[str, str] | None,
        types: tuple[str, str],
        seconds: float,
    ) -> Iterator[Any]:
        from urllib3 import Retry, Timeout
        from urllib3.exceptions import HTTPError

        headers = dict(zip(("Content-Type", "Accept"), types, strict=True))
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        else:
            self._client.update_params_for_auth(headers, [], ["BearerToken"])
        where = f"{self.address}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._client.rest_client.pool_manager.request(
                method,
                where,
                body=None if body is None else json.dumps(body),
                headers=headers,
                preload_content=False,
                timeout=Timeout(connect=CONNECT_SECONDS, read=seconds),
                # whoever asks whether anybody is there shall not wait for minutes
                retries=Retry(1, redirect=0, read=0),
            )
        except (HTTPError, OSError) as error:
            reason = _first_line(getattr(error, "reason", None) or error).rpartition(": ")[2]
            raise Unreachable(f"no answer from {self.address} ({reason}): {NO_CLUSTER}") from None
        if response.status >= 400:
            answer = _status_of(response.data)
            response.close()
            raise told(response.status, answer, path)
        try:
            yield response
        finally:
            response.close()


def told(status: int, answer: Object, path: str) -> LlmtrainError:
    """What the server's no means for a person.

    Args:
        status: HTTP status.
        answer: the server's ``Status``; empty where it sent something else.
        path: that was asked for.
    """
    message = _first_line(answer.get("message") or f"HTTP {status}")
    details = answer.get("details") or {}
    ours = path.startswith(JOBS)
    if status == 401:
        return Forbidden(
            "the cluster does not know who you are: log in again (the kubeconfig's user or token)"
        )
    if status == 403:
        return Forbidden(
            f"the cluster does not allow it: {message}; ask for the role of it in that namespace"
        )
    if status == 404 and ours and not details.get("name"):
        return Unreachable(
            f"the cluster has no {CRD_NAME}: install the operator (helm install llmtrain "
            "helm/llm-training-operator), or choose another cluster by --context"
        )
    if status == 404:
        return NotFound(message)
    if status == 409 and answer.get("reason") == "AlreadyExists":
        return AlreadyThere(message)
    if status in (400, 409, 422):
        causes = [
            f"{cause.get('field') or 'the object'}: {cause.get('message', '')}"
            for cause in details.get("causes") or []
        ]
        return Mistake(*(causes or [message]))
    return Failed(f"the API server answers {status}: {message}")


def _status_of(body: object) -> Object:
    with suppress(ValueError, TypeError):
        found = json.loads(body if isinstance(body, str | bytes) else "")
        if isinstance(found, dict):
            return found
    return {}


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _namespace_of_pod() -> str:
    with suppress(OSError), open(SERVICE_ACCOUNT_NAMESPACE) as file:
        return file.read().strip() or "default"
    return "default"


def _kubeconfig() -> str:
    """As kubectl looks for it; read when it is used, so that a program may set it."""
    return os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")


def _namespace_of_context(context: str | None) -> str:
    from kubernetes import config

    contexts, active = config.list_kube_config_contexts(_kubeconfig())
    by_name = {str(one["name"]): one for one in contexts}
    if context is not None and context not in by_name:
        raise Mistake(f"--context: the kubeconfig has no context {context!r}{did_you_mean(context, by_name)}")
    chosen = (by_name[context] if context is not None else active) or {}
    return str((chosen.get("context") or {}).get("namespace") or "default")
