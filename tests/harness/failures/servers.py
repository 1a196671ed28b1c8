"""Failures that a server causes: each starts the server that it asks."""

from __future__ import annotations

import os
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from typing_extensions import override

from harness.hub import Hub, Repository

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
NO_BUCKET = b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"


@contextmanager
def answering(status: int, body: bytes = b"", context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that gives one answer to everything; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_CONNECT = do_GET

        @override
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def _from_the_hub(name: str, repository: Repository | None = None) -> None:
    os.environ.pop("HF_TOKEN", None)
    from huggingface_hub import HfApi

    hub = Hub()
    if repository is not None:
        hub.repositories[f"models/{name}"] = repository
    hub.start()
    HfApi(endpoint=hub.endpoint, token=False).model_info(name)


def the_hub_has_no_such_model() -> None:
    _from_the_hub("someone/nothing")


def the_hub_wants_a_token() -> None:
    repository = Repository(token="secret")
    repository.push({"config.json": b"{}"})
    _from_the_hub("someone/gated", repository)


def the_hub_is_off() -> None:
    from huggingface_hub import snapshot_download

    snapshot_download("someone/model", local_files_only=True, cache_dir=Path("cache").absolute())


def _asked(status: int) -> None:
    import requests

    with answering(status) as address:
        requests.get(address, timeout=5).raise_for_status()


def a_server_asks_for_fewer_requests() -> None:
    _asked(429)


def a_server_is_overloaded() -> None:
    _asked(503)


def _from_a_bucket(status: int, body: bytes) -> None:
    import fsspec

    with answering(status, body) as address:
        files = fsspec.filesystem("s3", key="someone", secret="hush", endpoint_url=address)
        files.cat_file("bucket/file")


def a_bucket_refuses() -> None:
    _from_a_bucket(403, DENIED)


def there_is_no_such_bucket() -> None:
    _from_a_bucket(404, NO_BUCKET)


def a_certificate_is_our_own() -> None:
    with answering(200, context=_own_certificate()) as address:
        urllib.request.urlopen(address, timeout=5)


def a_proxy_refuses() -> None:
    with answering(407) as address:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"https": address}))
        opener.open("https://example.invalid", timeout=5)


def _own_certificate() -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(hours=1))
    certificate = builder.not_valid_after(now + timedelta(hours=1)).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    Path("server.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem")
    return context
