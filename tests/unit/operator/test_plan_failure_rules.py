"""What users' rules make of a failure, and which nodes the next attempt keeps off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, ended, job, later, pod, running, seen

from llmtrain_api import (
    Attempt,
    Charge,
    FailureClass,
    JobSpec,
    JobStatus,
    Outcome,
    Phase,
    TerminationMessage,
    changed,
)
from llmtrain_api.schema.status import MAX_AVOIDED_NODES
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.plan import plan
from llmtrain_operator.types import CreatePod, Pod, PodPhase

BOOM = {"outcome": "Failed", "failureClass": "UserError", "message": "ValueError: boom", "exitCode": 1}


def failed(**said: Any) -> Pod:
    """Rank 1 on node n1, which says that."""
    message = TerminationMessage.model_validate(BOOM | said)
    end = ended(message, message.exit_code or 1, T0)
    return replace(pod(0, 1, PodPhase.FAILED, termination=end), node="n1")


def lost() -> Pod:
    return replace(pod(0, 1, PodPhase.FAILED), node="n1", disruption="DeletionByTaintManager: node is gone")


def after(
    of: Pod, rules: list[dict[str, Any]], status: JobStatus | None = None, **recovery: Any
) -> JobStatus:
    """The status once the evidence of a gang of two is in."""
    spec = {"recovery": {"rules": rules, **recovery}}
    status = status or running()
    attempt = status.attempt or 0
    pods = tuple(
        replace(one, attempt=attempt, name=f"tiny-{attempt}-{one.rank}")
        for one in (of, pod(0, 0, PodPhase.FAILED, termination=ended(ECHO, 1, T0)))
    )
    return plan(seen(job(status, **spec), pods), later(300)).status


ECHO = TerminationMessage(outcome=Outcome.FAILED, cascade=True, message="Connection closed by peer")
FAIL = {"action": "Fail"}
PREFERRED, REQUIRED = (f"{kind}DuringSchedulingIgnoredDuringExecution" for kind in ("preferred", "required"))


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"classes": ["UserError"]}, True),
        ({"classes": ["OutOfMemory", "Hang"]}, False),
        ({"log": "boom"}, True),
        ({"log": "last words"}, True),
        ({"log": "BOOM"}, False),
        ({"exitCodes": [1, 3]}, True),
        ({"exitCodes": [3]}, False),
        ({"reasons": ["FileMissing"]}, True),
        ({"reasons": ["DiskFull"]}, False),
        ({"classes": ["UserError"], "exitCodes": [3]}, False),
        ({"classes": ["UserError"], "log": "boom", "exitCodes": [1]}, True),
    ],
)
def test_a_rule_matches_when_all_that_it_names_is_so(rule: dict[str, Any], matches: bool) -> None:
    of = failed(reason="FileMissing", logTail="its last words")
    status = after(of, [rule | FAIL])
    assert (status.phase is Phase.FAILED) is matches
    if matches:
        assert status.failure is not None
        assert "recovery.rules" in (status.failure.hint or "")


def test_of_two_rules_the_first_holds() -> None:
    boom, all_user = {"log": "boom", "action": "Restart"}, {"classes": ["UserError"], **FAIL}
    assert after(failed(), [boom, all_user]).phase is Phase.RESTARTING
    assert after(failed(), [all_user, boom]).phase is Phase.FAILED


def test_what_the_operator_would_not_start_again_is_when_a_rule_says_so() -> None:
    of = failed(failureClass="ConfigError")
    assert after(of, []).phase is Phase.FAILED
    status = after(of, [{"classes": ["ConfigError"], "action": "Restart"}])
    assert status.phase is Phase.RESTARTING
    assert status.attempts[-2].charge is Charge.APPLICATION
    used_up = after(of, [{"classes": ["ConfigError"], "action": "Restart"}], maxRestarts=0)
    assert used_up.phase is Phase.FAILED


def test_a_rule_may_charge_what_was_lost_to_the_application() -> None:
    status = after(lost(), [{"classes": ["Infrastructure"], "action": "Restart"}])
    assert status.attempts[-2].charge is Charge.APPLICATION
    assert after(lost(), []).attempts[-2].charge is Charge.INFRASTRUCTURE


def test_a_failure_of_a_node_that_a_rule_names_keeps_the_next_attempt_off_it() -> None:
    status = after(failed(), [{"log": "boom", "action": "RestartAvoidingNode"}])
    assert status.attempts[-1].avoided_nodes == ["n1"]
    assert status.attempts[-2].charge is Charge.INFRASTRUCTURE
    later_on = replace(seen(job(status, recovery={"rules": []})))
    made = [a.manifest for a in plan(later_on, later(310)).actions if isinstance(a, CreatePod)]
    assert len(made) == 2
    for manifest in made:
        [term] = manifest["spec"]["affinity"]["nodeAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ]
        assert term["preference"] == {
            "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]
        }
        assert "podAntiAffinity" in manifest["spec"]["affinity"]


def ended_before(node: str, hours: float = 1.0) -> JobStatus:
    """Attempt 1 runs; attempt 0 was ended by that node so long ago."""
    status = running(1)
    old = changed(
        status.attempts[0], node=node, charge=Charge.INFRASTRUCTURE, ended_at=later(300 - hours * 3600)
    )
    return changed(status, attempts=[old, status.attempts[1]])


def test_a_node_that_ends_a_second_attempt_is_avoided() -> None:
    again = after(lost(), [], ended_before("n1"))
    assert again.attempts[-1].avoided_nodes == ["n1"]
    assert again.failure is not None
    assert "n1 has ended 2 attempts" in (again.failure.hint or "")
    for status in (ended_before("n2"), ended_before("n1", hours=30)):
        assert after(lost(), [], status).attempts[-1].avoided_nodes is None


def test_what_was_avoided_stays_so_and_the_list_is_bounded() -> None:
    names = [f"old{k}" for k in range(MAX_AVOIDED_NODES)]
    status = ended_before("n1")
    current = Attempt.model_validate({**dict(status.attempts[1]), "avoided_nodes": names})
    again = after(lost(), [], changed(status, attempts=[status.attempts[0], current]))
    assert again.attempts[-1].avoided_nodes == ["n1", *names[:-1]]
    other = after(failed(), [], changed(status, attempts=[status.attempts[0], current]))
    assert other.attempts[-1].avoided_nodes == names


@pytest.mark.parametrize("affinity", [{}, {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}])
def test_what_a_template_says_of_nodes_stands_beside_those_that_are_kept_off(
    affinity: dict[str, Any],
) -> None:
    spec = JobSpec.model_validate(job(podTemplate={"spec": {"affinity": affinity}}).spec)
    made = build_pod(job(), spec, 1, 0, "image", SETTINGS, ["n1"])["spec"]["affinity"]
    [term] = made["nodeAffinity"][PREFERRED]
    assert term["preference"]["matchFields"][0]["values"] == ["n1"]
    assert (REQUIRED in made["nodeAffinity"]) is bool(affinity)
    assert made["podAntiAffinity"][PREFERRED]


def test_a_job_without_trouble_has_no_node_affinity() -> None:
    made = build_pod(job(), JobSpec.model_validate(job().spec), 0, 0, "image", SETTINGS)
    assert "nodeAffinity" not in made["spec"]["affinity"]


def test_without_a_class_of_its_own_a_rule_does_not_change_the_class() -> None:
    status = after(failed(), [{"log": "boom", "action": "RestartAvoidingNode"}])
    assert status.failure is not None
    assert status.failure.failure_class is FailureClass.USER_ERROR
