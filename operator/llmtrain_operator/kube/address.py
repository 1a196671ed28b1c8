"""Where the API server is, and who we are to it."""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_SECONDS = 60.0
"""The kubelet rotates the token file; it is valid for an hour."""


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where the API server is and who we are.

    Attributes:
        token_file: re-read each minute; None with a client certificate.
    """

    server: str
    tls: ssl.SSLContext | None
    token_file: Path | None = None
    token: str | None = None


async def find_cluster() -> ClusterAddress:
    """In a pod its ServiceAccount, elsewhere the current context of the kubeconfig.

    Raises:
        ConfigException: from the kubernetes package, when there is neither.
    """
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if host and (SERVICE_ACCOUNT / "token").exists():
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        address = f"[{host}]" if ":" in host else host
        tls = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
        return ClusterAddress(f"https://{address}:{port}", tls, token_file=SERVICE_ACCOUNT / "token")
    return await _from_kubeconfig()


async def _from_kubeconfig() -> ClusterAddress:
    # heavy, and not needed in a pod
    from kubernetes.aio import config
    from kubernetes.aio.client import Configuration

    configuration: Any = Configuration()
    await config.load_kube_config(client_configuration=configuration)
    tls = None
    if configuration.host.startswith("https"):
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    token = await configuration.get_api_key_with_prefix("BearerToken")
    return ClusterAddress(configuration.host, tls, token=token.removeprefix("Bearer ") if token else None)


@dataclass
class Credentials:
    """The bearer token, re-read as the kubelet rotates it."""

    address: ClusterAddress
    _token: str | None = field(default=None, init=False)
    _read_at: float = field(default=float("-inf"), init=False)

    def headers(self) -> dict[str, str]:
        """``Authorization``, or nothing with a client certificate."""
        path = self.address.token_file
        if path is not None and time.monotonic() - self._read_at > TOKEN_REREAD_SECONDS:
            self._token = path.read_text().strip()
            self._read_at = time.monotonic()
        token = self._token or self.address.token
        return {"Authorization": f"Bearer {token}"} if token else {}
