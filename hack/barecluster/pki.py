"""One certificate authority, elliptic-curve keys (RSA costs seconds), and kubeconfigs that carry them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from barecluster.settings import CLUSTER_DOMAIN, KUBERNETES_SERVICE_IP, LOOPBACK, Node, Settings
from barecluster.shell import run

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAYS = ("-days", "365")


@dataclass(frozen=True)
class Identity:
    """Whom a certificate names: the API server takes CN as the user and O as the group."""

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The certificate's subject."""
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.user}"


def node_identity(node: Node) -> Identity:
    """The kubelet's identity, which the Node authorizer knows by its group, and its server certificate."""
    names = (f"DNS:{node.name}", f"IP:{LOOPBACK}", f"IP:{node.address}")
    return Identity(node.name, f"system:node:{node.name}", "system:nodes", names)


def control_plane_identities(first_node: Node) -> list[Identity]:
    """Everyone but the nodes."""
    service = [f"kubernetes.default.svc.{CLUSTER_DOMAIN}", "kubernetes.default.svc", "kubernetes.default"]
    hosts = [f"DNS:{host}" for host in ("localhost", *service, "kubernetes")]
    addresses = [f"IP:{address}" for address in (LOOPBACK, KUBERNETES_SERVICE_IP, first_node.address)]
    return [
        Identity("apiserver", "kube-apiserver", names=(*hosts, *addresses)),
        Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client"),
        Identity("admin", "admin", "system:masters"),
        Identity("controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler"),
        Identity("proxy", "system:kube-proxy"),
        Identity("coredns", "system:coredns"),
    ]


def ensure(settings: Settings, nodes: list[Node]) -> None:
    """Make what is missing: an authority lives as long as the control plane's data."""
    settings.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    _authority(settings.pki)
    _service_account_keys(settings.pki)
    identities = control_plane_identities(settings.node(1)) + [node_identity(node) for node in nodes]
    for identity in identities:
        config = settings.pki / f"{identity.file}.kubeconfig"
        if not config.exists():
            _certificate(settings.pki, identity)
            config.write_text(kubeconfig(settings, identity))
            config.chmod(0o600)


def kubeconfig(settings: Settings, identity: Identity) -> str:
    """A kubeconfig that holds its keys, so that the file works from anywhere on the machine."""

    def data(name: str) -> str:
        return base64.b64encode((settings.pki / name).read_bytes()).decode()

    name = f"llmtrain-{settings.name}"
    cluster = {"server": settings.server, "certificate-authority-data": data("ca.crt")}
    certificate, key = data(f"{identity.file}.crt"), data(f"{identity.file}.key")
    user = {"client-certificate-data": certificate, "client-key-data": key}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": identity.user, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": identity.user}}],
        "current-context": name,
    }
    return json.dumps(config, indent=1)


def _authority(pki: Path) -> None:
    if (pki / "ca.crt").exists():
        return
    files = ("-keyout", pki / "ca.key", "-out", pki / "ca.partial")
    run("openssl", "req", "-x509", *_KEY, *files, "-subj", "/CN=llmtrain-cluster", *_DAYS)
    (pki / "ca.partial").rename(pki / "ca.crt")


def _certificate(pki: Path, identity: Identity) -> None:
    extensions = ["basicConstraints=CA:FALSE", "keyUsage=digitalSignature"]
    extensions += ["extendedKeyUsage=serverAuth,clientAuth"]
    if identity.names:
        extensions += ["subjectAltName=" + ",".join(identity.names)]
    added = [word for extension in extensions for word in ("-addext", extension)]
    signer = ("-CA", pki / "ca.crt", "-CAkey", pki / "ca.key")
    files = ("-keyout", pki / f"{identity.file}.key", "-out", pki / f"{identity.file}.crt")
    run("openssl", "req", "-x509", *_KEY, *signer, *files, "-subj", identity.subject, *_DAYS, *added)


def _service_account_keys(pki: Path) -> None:
    if (pki / "sa.pub").exists():
        return
    run("openssl", "genrsa", "-out", pki / "sa.key", "2048")  # RSA: what token libraries expect
    run("openssl", "rsa", "-in", pki / "sa.key", "-pubout", "-out", pki / "sa.partial")
    (pki / "sa.partial").rename(pki / "sa.pub")
