"""The progress server's own CA: made once, kept in a Secret, handed to each attempt in its ConfigMap."""

from __future__ import annotations

import base64
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..kube.api import ApiError, ClusterApi

CA_YEARS = 20
LEAF_DAYS = 397
CERT_KEY, KEY_KEY = "ca.crt", "ca.key"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate and its key, PEM."""

    certificate: bytes
    key: bytes


def new_authority(now: datetime) -> Authority:
    """A fresh CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "llm-training-operator")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def new_leaf(authority: Authority, hosts: list[str], now: datetime) -> tuple[bytes, bytes]:
    """A server certificate for those DNS names, and its key, PEM."""
    ca = x509.load_pem_x509_certificate(authority.certificate)
    ca_key = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=LEAF_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


async def ensure_authority(api: ClusterApi, namespace: str, secret: str) -> Authority:
    """The CA in that Secret, made on first use. A race is lost gracefully: the first one written wins.

    Raises:
        ApiError: the Secret can be neither read nor created.
    """
    try:
        return _from_secret(await api.get("secrets", namespace, secret))
    except ApiError as error:
        if error.status != 404:
            raise
    authority = new_authority(datetime.now(UTC))
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret, "namespace": namespace},
        "type": "Opaque",
        "data": {
            CERT_KEY: base64.b64encode(authority.certificate).decode(),
            KEY_KEY: base64.b64encode(authority.key).decode(),
        },
    }
    try:
        await api.create("secrets", namespace, body)
    except ApiError as error:
        if error.status != 409:
            raise
        return _from_secret(await api.get("secrets", namespace, secret))
    return authority


def _from_secret(secret: dict[str, object]) -> Authority:
    data = secret["data"]
    assert isinstance(data, dict)
    return Authority(base64.b64decode(data[CERT_KEY]), base64.b64decode(data[KEY_KEY]))


def server_context(authority: Authority, hosts: list[str]) -> ssl.SSLContext:
    """A TLS context with a fresh leaf. Made at each start, so a leaf never gets old."""
    certificate, key = new_leaf(authority, hosts, datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "leaf.pem")
        path.touch(mode=0o600)
        path.write_bytes(certificate + key)
        context.load_cert_chain(path)
    return context
