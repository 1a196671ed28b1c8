"""MLflow's client as far as a push uses it, over a registry in memory that can refuse and lose answers.

The library is none of ours; `tests/trainer/test_publish_mlflow.py` holds the push against a real server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

LOST = 0
"""In place of a status: the call is done, and its answer is lost."""
CODES = {404: "RESOURCE_DOES_NOT_EXIST", 400: "RESOURCE_ALREADY_EXISTS"}


class MlflowException(Exception):
    """As MLflow's own."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self._status = status
        self.error_code = CODES.get(status, "INTERNAL_ERROR")

    def get_http_status_code(self) -> int:
        return self._status


@dataclass
class Server:
    """What the server has.

    Attributes:
        models: names of registered models.
        versions: of all models, oldest first.
        runs: with their files by path.
        failures: what calls of a name get, in turn.
        called: names of all calls.
        clients: addresses that clients were made for.
    """

    models: set[str] = field(default_factory=set)
    versions: list[SimpleNamespace] = field(default_factory=list)
    runs: list[SimpleNamespace] = field(default_factory=list)
    experiments: list[str] = field(default_factory=list)
    failures: dict[str, list[int]] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    clients: list[tuple[str, str]] = field(default_factory=list)

    def module(self) -> ModuleType:
        """The library."""
        made = ModuleType("mlflow")

        def client(tracking_uri: str, registry_uri: str) -> Any:
            self.clients.append((tracking_uri, registry_uri))
            return Client(self)

        vars(made)["MlflowClient"] = client
        return made


class Client:
    """The calls of a push."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        return (
            found if name.startswith("_") else _faulty(object.__getattribute__(self, "_server"), name, found)
        )

    def get_registered_model(self, name: str) -> None:
        if name not in self._server.models:
            raise MlflowException(f"no model {name}", 404)

    def create_registered_model(self, name: str) -> None:
        if name in self._server.models:
            raise MlflowException(f"there is a model {name}", 400)
        self._server.models.add(name)

    def search_model_versions(self, filter_string: str) -> list[SimpleNamespace]:
        name, tag, value = _parsed(r"name='(.+)' and tags\.`(.+)` = '(.+)'", filter_string)
        return [one for one in self._server.versions if one.name == name and one.tags.get(tag) == value]

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(experiment_id=name) if name in self._server.experiments else None

    def create_experiment(self, name: str) -> str:
        self._server.experiments.append(name)
        return name

    def search_runs(self, experiments: list[str], filter_string: str) -> list[SimpleNamespace]:
        tag, value = _parsed(r"tags\.`(.+)` = '(.+)'", filter_string)
        return [
            one for one in self._server.runs if one.experiment in experiments and one.tags.get(tag) == value
        ]

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> SimpleNamespace:
        number = len(self._server.runs)
        info = SimpleNamespace(run_id=f"r{number}", artifact_uri=f"mlflow-artifacts:/r{number}/artifacts")
        made = SimpleNamespace(
            info=info, experiment=experiment, tags=tags, name=run_name, files={}, ended=False
        )
        self._server.runs.append(made)
        return made

    def set_terminated(self, run_id: str) -> None:
        self._run(run_id).ended = True

    def log_artifacts(self, run_id: str, folder: str, path: str) -> None:
        for file in Path(folder).rglob("*"):
            if file.is_file():
                self._run(run_id).files[f"{path}/{file.relative_to(folder)}"] = file.read_bytes()

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str,
        tags: dict[str, str],
        description: str,
        await_creation_for: int,
    ) -> SimpleNamespace:
        assert name in self._server.models
        assert description
        assert await_creation_for > 0
        run = self._run(run_id)
        assert source.startswith(run.info.artifact_uri)
        number = 1 + sum(one.name == name for one in self._server.versions)
        made = SimpleNamespace(name=name, version=number, tags=tags, source=source, files=dict(run.files))
        self._server.versions.append(made)
        return made

    def _run(self, run_id: str) -> SimpleNamespace:
        return next(one for one in self._server.runs if one.info.run_id == run_id)


def _faulty(server: Server, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def made(*positional: Any, **named: Any) -> Any:
        server.called.append(name)
        statuses = server.failures.get(name)
        fault = statuses.pop(0) if statuses else None
        if fault:
            raise MlflowException(f"{name}: Bearer s3cret-token", fault)
        answer = call(*positional, **named)
        if fault == LOST:
            raise ConnectionError("the connection was cut")
        return answer

    return made


def _parsed(pattern: str, text: str) -> tuple[str, ...]:
    found = re.fullmatch(pattern, text)
    assert found, text
    return found.groups()
