"""The order in which worker pods come and go, as a watch of the API shows it."""

from __future__ import annotations

import json
import threading
import urllib.request

from harness.cluster import Namespace


class PodWatch:
    """Every change of the worker pods, from a watch: what the API showed, in its order."""

    def __init__(self, namespace: Namespace, seconds: int = 120) -> None:
        self.namespace = namespace
        self.seconds = seconds
        self.lines: list[tuple[str, str, str]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        url = (
            self.namespace.cluster.server
            + self.namespace.core("pods")
            + f"?watch=1&timeoutSeconds={self.seconds}"
        )
        with urllib.request.urlopen(
            url, context=self.namespace.cluster.tls, timeout=self.seconds + 10
        ) as response:
            for line in response:
                event = json.loads(line)
                meta = event["object"]["metadata"]
                rank = meta.get("labels", {}).get("llmtrain.dev/rank", "")
                self.lines.append((event["type"], meta["name"], rank))

    def check(self) -> int:
        """No pod of a rank is added while another of that rank is there. Returns the additions seen."""
        there: dict[str, str] = {}
        added = 0
        for kind, name, rank in self.lines:
            if kind == "ADDED":
                assert rank not in there, f"{name} was created while {there[rank]} was there"
                there[rank] = name
                added += 1
            elif kind == "DELETED":
                there.pop(rank, None)
        return added
