"""A server that speaks S3, in a process of its own.

It answers one request at a time: moto mixes up those that come together, and a real store does not.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec

from harness.ports import free_port

_SERVE = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""


class Server:
    """moto's S3 server; one bucket is there."""

    bucket = "models"

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process
        self.environment = {
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": "us-east-1",
        }
        self.files = fsspec.filesystem(
            "s3",
            key="someone",
            secret="hush",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    def names(self, folder: str) -> list[str]:
        """Keys below a folder of the bucket."""
        root = f"{self.bucket}/{folder}/"
        return [path[len(root) :] for path in self.files.find(root) if path > root]

    def kill(self) -> None:
        """As a store that is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def server() -> Iterator[Server]:
    """A server until the block ends."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-c", _SERVE, str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server does not listen"
                time.sleep(0.05)
        made = Server(port, process)
        made.files.mkdir(made.bucket)
        yield made
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
