"""A client for tests: plain HTTPS with a client certificate, plus kubectl where its words count."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

Object = dict[str, Any]
T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
JOBS = "/apis/llmtrain.dev/v1alpha1/namespaces/{ns}/llmtrainingjobs"


class Refused(Exception):
    """The API server's no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 30.0) -> T:
    """The first value of ``probe`` that is true, within a deadline."""
    deadline = time.monotonic() + seconds
    last: T | None = None
    while time.monotonic() < deadline:
        last = probe()
        if last:
            return last
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s (last: {last!r})")


class Cluster:
    """One API server, as administrator."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = os.environ | environment
        config = yaml.safe_load(Path(environment["KUBECONFIG"]).read_text())
        entry = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        self.server: str = entry["server"]
        self.tls = ssl.create_default_context(cafile=self._file(entry, "certificate-authority"))
        self.tls.load_cert_chain(self._file(user, "client-certificate"), self._file(user, "client-key"))

    @staticmethod
    def _file(entry: Object, key: str) -> str:
        if key in entry:
            return str(entry[key])
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(b64decode(entry[f"{key}-data"]))
        return file.name

    def call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.server + path, data=data, method=method, headers={"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=30) as response:
                found: Object = json.loads(response.read())
                return found
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            with contextlib.suppress(json.JSONDecodeError):
                said = json.loads(said).get("message", said)
            raise Refused(error.code, said) from None

    def get(self, path: str) -> Object | None:
        try:
            return self.call("GET", path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def wait_served(self, version: str, *resources: str) -> None:
        """Until the API server answers for these. `kubectl wait` fails where a CRD has no conditions yet."""

        def served() -> bool | None:
            found = self.get(f"/apis/{version}") or {}
            return {one["name"] for one in found.get("resources", [])} >= set(resources) or None

        wait_for(f"{version} is served", served)

    def merge(self, path: str, patch: Object) -> Object:
        return self.call("PATCH", path, patch, "application/merge-patch+json")

    def kubectl(
        self, *words: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["kubectl", *words],
            input=stdin,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr}")
        return done


class Namespace:
    """One namespace of a cluster and what tests do in it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def jobs_path(self, name: str = "") -> str:
        return JOBS.format(ns=self.name) + (f"/{name}" if name else "")

    def core(self, resource: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.name}/{resource}" + (f"/{name}" if name else "")

    def apply(self, manifest: Object) -> Object:
        manifest["metadata"]["namespace"] = self.name
        return self.cluster.call("POST", self.jobs_path(), manifest)

    def job(self, name: str) -> Object:
        found = self.cluster.get(self.jobs_path(name))
        assert found is not None, f"no job {name}"
        return found

    def status(self, name: str) -> Object:
        found = self.cluster.get(self.jobs_path(name))
        return (found or {}).get("status", {})

    def pods(self, selector: str = "llmtrain.dev/job") -> dict[str, Object]:
        found = self.cluster.call("GET", self.core("pods") + f"?labelSelector={selector}")
        return {p["metadata"]["name"]: p for p in found["items"]}

    def wait_phase(self, name: str, phase: str, attempt: int | None = None, seconds: float = 30.0) -> Object:
        def probe() -> Object | None:
            status = self.status(name)
            right = status.get("phase") == phase and attempt in (None, status.get("attempt"))
            return status if right else None

        try:
            return wait_for(f"{name} {phase} (attempt {attempt})", probe, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {json.dumps(self.status(name))}") from None

    def wait_pods(self, *names: str, seconds: float = 20.0) -> None:
        wait_for(f"pods {names}", lambda: set(self.pods()) == set(names) or None, seconds)

    def pod_creates(self, audit: Path) -> list[str]:
        """Names of the worker pods whose creation the audit log holds, dry runs and refusals left out."""
        found = []
        for line in audit.read_text().splitlines():
            event = json.loads(line)
            ref = event.get("objectRef", {})
            if (
                event.get("verb") == "create"
                and ref.get("resource") == "pods"
                and not ref.get("subresource")
                and ref.get("namespace") == self.name
                and event.get("stage") == "ResponseComplete"
                and event.get("responseStatus", {}).get("code") == 201
                and "dryRun" not in event.get("requestURI", "")
            ):
                found.append(event["auditID"])
        return found


def restarts(status: Object) -> tuple[int, int, int]:
    """The restarts that a status counts: all, the application's, the infrastructure's."""
    counted = status["restarts"]
    return counted["total"], counted["application"], counted["infrastructure"]


def shared_volume(cluster: Cluster) -> Path:
    """The host's folder behind the shared claim of hack/cluster."""
    for pv in cluster.call("GET", "/api/v1/persistentvolumes")["items"]:
        if pv["spec"].get("claimRef", {}).get("namespace") == "default":
            return Path(pv["spec"]["hostPath"]["path"])
    raise AssertionError("no shared volume")
