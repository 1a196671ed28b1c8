"""The guide for platform teams, followed to the letter: two teams, a runtime, an upgrade and a way back."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
import yaml
from harness.cluster import ROOT, Cluster, Namespace, restarts, wait_for
from harness.documents import Block, blocks
from harness.jobs import quick_manifest
from harness.namespaces import add_volume, administrator

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(900)]
TEAMS = ("nlp", "vision")
STEPS = 100_000
"""More than there is time for."""
OPERATOR = (
    "/api/v1/namespaces/llmtrain-system/pods?labelSelector=app.kubernetes.io/name=llm-training-operator"
)


def block(words: str, language: str = "yaml") -> str:
    """The one block of the guide with these words."""
    [found] = [one for one in guide(language) if words in one.fence.text]
    return found.fence.text


def guide(language: str) -> list[Block]:
    return [one for one in blocks(language) if one.page == "docs/platform.md"]


def apply(cluster: Cluster, text: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=text)


def shell(cluster: Cluster, text: str, **instead: str) -> None:
    """Run a command of the guide, with some of its words replaced: this cluster has other images."""
    for old, new in instead.items():
        assert old in text
        text = text.replace(old, new)
    command = ["bash", "-euc", text]
    done = subprocess.run(
        command, cwd=ROOT, env=cluster.environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


def as_member(team: Namespace, of: str, document: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Create a job as somebody of a team."""
    groups = ("--as-group", of, "--as-group", "system:authenticated")
    text = yaml.safe_dump(document)
    return team.cluster.kubectl(
        "create", "-n", team.name, "-f", "-", "--as", "ann", *groups, stdin=text, check=False
    )


def job(name: str, nodes: int = 1) -> dict[str, object]:
    document = quick_manifest(name, STEPS, nodes=nodes)
    document["spec"]["training"]["globalBatchSize"] = 4 * nodes
    document["metadata"].pop("namespace", None)
    return document


@pytest.fixture(scope="module")
def teams() -> Iterator[tuple[Namespace, Namespace]]:
    """The cluster as the guide's first two sections leave it."""
    cluster = administrator()
    helm = block("defaultRuntime", "sh").partition("\nkubectl")[0] + " --wait"
    volumes = {team: f"{team}-{uuid.uuid4().hex[:6]}" for team in TEAMS}
    try:
        for team, volume in volumes.items():
            apply(cluster, block("kind: ResourceQuota").replace("nlp", team))
            add_volume(cluster, team, volume)
        apply(cluster, block("kind: ClusterLLMTrainingRuntime"))
        shell(cluster, helm)
        yield Namespace(cluster, TEAMS[0]), Namespace(cluster, TEAMS[1])
    finally:
        shell(cluster, helm.replace("=h100", "="))
        cluster.kubectl("label", "nodes", "--all", "example.com/pool-")
        for what in (["clusterllmtrainingruntime", "h100"], ["namespace", *TEAMS], ["pv", *volumes.values()]):
            cluster.kubectl("delete", *what, "--wait=false", check=False)


def test_a_team_trains_in_its_own_namespace_within_the_bounds(teams: tuple[Namespace, Namespace]) -> None:
    nlp, vision = teams
    refused = as_member(vision, "nlp", job("intruder"))
    assert refused.returncode
    assert "forbidden" in refused.stderr.lower()
    for team in teams:
        assert as_member(team, team.name, job("first")).returncode == 0

    def spoken() -> str:
        return str(nlp.status("first").get("waiting"))

    lacks = "2 without label example.com/pool=h100"
    wait_for("there are no nodes of that pool", lambda: lacks in spoken(), 60)
    nlp.cluster.kubectl("label", "nodes", "--all", "example.com/pool=h100")
    for team in teams:
        team.wait_phase("first", "Running", seconds=240)
        [pod] = team.pods().values()
        assert pod["spec"]["nodeSelector"] == {"example.com/pool": "h100"}

    assert as_member(nlp, "nlp", job("large", nodes=5)).returncode == 0
    condition = wait_for("it is refused", lambda: accepted(nlp, "large"), 30)
    assert condition["status"] == "False"
    assert "maxNodes" in condition["message"]


def accepted(team: Namespace, name: str) -> dict[str, str] | None:
    conditions = team.status(name).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Accepted"), None)


def test_the_guide_lists_what_is_offered(teams: tuple[Namespace, Namespace]) -> None:
    nlp, _ = teams
    command = [sys.executable, "-m", "llmtrain", "presets", "-n", nlp.name]
    done = subprocess.run(command, env=nlp.cluster.environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "h100" in done.stdout


def operators(cluster: Cluster) -> set[str]:
    return {pod["metadata"]["uid"] for pod in cluster.call("GET", OPERATOR)["items"]}


def gone(cluster: Cluster, before: set[str]) -> bool:
    return not before & operators(cluster)


def goes_on(team: Namespace, name: str) -> None:
    """It is the same attempt, and it does steps."""
    before = team.status(name)["progress"]["step"] or 0
    wait_for("steps are done", lambda: (team.status(name)["progress"]["step"] or 0) > before, 120)
    status = team.status(name)
    assert (status["phase"], status["attempt"], restarts(status)) == ("Running", 0, (0, 0, 0))


def test_jobs_run_on_in_an_upgrade_and_on_the_way_back(teams: tuple[Namespace, Namespace]) -> None:
    """The new version is this one with another annotation: its pods are new ones, as those of a new image."""
    cluster = teams[0].cluster
    for command, instead in (
        (block("image.tag=0.2.0", "sh"), {"image.tag=0.2.0": f"podAnnotations.version={uuid.uuid4()}"}),
        (block("helm rollback", "sh"), {}),
    ):
        before = operators(cluster)
        shell(cluster, command, **instead)
        wait_for("others act now", partial(gone, cluster, before), 90)
        for team in teams:
            goes_on(team, "first")


def test_what_is_backed_up_is_what_was_applied(teams: tuple[Namespace, Namespace]) -> None:
    cluster = teams[0].cluster
    command = block("> jobs.yaml", "sh").partition(" > ")[0]
    found = yaml.safe_load(cluster.kubectl(*command.split()[1:]).stdout)["items"]
    kept = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in found}
    assert ("ClusterLLMTrainingRuntime", None, "h100") in kept
    assert {("LLMTrainingJob", team, "first") for team in TEAMS} <= kept
