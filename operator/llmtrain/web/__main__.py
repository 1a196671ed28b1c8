"""``python -m llmtrain.web``: the page of a cluster, as the chart starts it."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from llmtrain_operator import logs

from .serve import ClusterPage, serve_cluster


def parse(argv: list[str] | None = None) -> ClusterPage:
    """The flags. Exits 2 with the reason on a bad one."""
    parser = argparse.ArgumentParser(prog="llmtrain.web", description="Serves the page of a cluster's jobs.")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--watch-namespace", default="", help="only jobs of this one (default: all)")
    parser.add_argument("--certificate", type=Path, help="PEM file; without it the page is plain HTTP")
    parser.add_argument("--key", type=Path, help="PEM file of the certificate's key")
    found = parser.parse_args(argv)
    if (found.certificate is None) != (found.key is None):
        parser.error("--certificate and --key go together")
    return ClusterPage(found.port, found.watch_namespace, found.certificate, found.key)


if __name__ == "__main__":
    logs.configure()
    asyncio.run(serve_cluster(parse()))
