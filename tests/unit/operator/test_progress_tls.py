"""The authority and the certificate of the report server."""

from __future__ import annotations

import ssl
from datetime import timedelta

from cryptography import x509
from harness.jobs import T0

from llmtrain_operator.progress.tls import new_authority, new_leaf, server_context


def test_leaf_is_signed_by_the_authority_and_names_the_host() -> None:
    authority = new_authority(T0)
    leaf = x509.load_pem_x509_certificate(new_leaf(authority, ["op.ns.svc"], T0)[0])
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["op.ns.svc"]
    assert leaf.not_valid_after_utc > T0 + timedelta(days=365)
    assert isinstance(server_context(authority, ["op.ns.svc"]), ssl.SSLContext)
