"""What follows for one job from the runtime that it asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.jobs import SETTINGS, T0, job, later, pod, running, seen

from llmtrain_api import JobStatus, Phase, RuntimeOnRecord, Setup, SetupStage, changed
from llmtrain_api.names import ANNOTATION_RERUN
from llmtrain_api.runtimes import on_record
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.limits import exceeded
from llmtrain_operator.plan.situation import look
from llmtrain_operator.scheduling.claims import Claims
from llmtrain_operator.types import Observed, Plan, Pod, SeenRuntime

MISSING = SeenRuntime(reason="RuntimeMissing", message="spec.runtime: there is no h100")
UP = (pod(0, 0), pod(0, 1))


def record(defaults: dict[str, Any] | None = None, **bounds: Any) -> RuntimeOnRecord:
    return on_record("ClusterLLMTrainingRuntime", "h100", 3, {"defaults": defaults or {}, "bounds": bounds})


def under(
    runtime: RuntimeOnRecord | SeenRuntime,
    status: JobStatus | None = None,
    pods: tuple[Pod, ...] = (),
    **spec: Any,
) -> Observed:
    now = runtime if isinstance(runtime, SeenRuntime) else SeenRuntime(found=runtime)
    return replace(seen(job(status, runtime="h100", **spec), pods), runtime=now)


def accepted(decision: Plan) -> tuple[str, str, str]:
    found = decision.status.condition("Accepted")
    assert found is not None
    return found.status, found.reason, found.message


def test_a_job_waits_for_its_runtime_and_says_so() -> None:
    decision = plan(under(MISSING), T0)
    assert decision.actions == ()
    assert decision.status.waiting is not None
    assert decision.status.waiting.reason == "RuntimeMissing"
    assert decision.status.phase is Phase.PENDING
    assert accepted(decision)[:2] == ("Unknown", "RuntimeMissing")
    again = plan(under(MISSING, decision.status), later(60))
    assert again.status == decision.status, "and writes that once"


def test_nothing_is_said_before_it_is_known_which_there_are() -> None:
    decision = plan(under(SeenRuntime()), T0)
    assert (decision.status, decision.actions) == (JobStatus(), ())
    assert decision.requeue_after is not None


def test_what_began_under_a_former_runtime_goes_when_there_is_none() -> None:
    setup = Setup(stage=SetupStage.PREPARE, number=0, generation=1, started_at=T0, created_at=T0)
    status = JobStatus(phase=Phase.PREPARING, setup=setup, runtime=record())
    at_work = pod(0, 0, name="tiny-prepare-0", uid="p", stage=SetupStage.PREPARE)
    decision = plan(under(MISSING, status, (at_work,), prepare={"nodes": 1}), later(5))
    assert len(decision.actions) == 1
    assert decision.status.setup is not None
    assert decision.status.setup.ended_at is not None
    assert decision.status.runtime is None


def test_a_suspended_job_stands_still_whether_its_runtime_is_there_or_not() -> None:
    assert plan(under(MISSING, suspend=True), T0).status.phase is Phase.SUSPENDED


def test_beyond_a_bound_it_is_not_accepted_and_nothing_is_created() -> None:
    decision = plan(under(record(maxNodes=1)), T0)
    status, reason, message = accepted(decision)
    assert (status, reason) == ("False", "OutOfBounds")
    assert message.startswith(
        "spec.nodes: got 2, and ClusterLLMTrainingRuntime h100 takes at most 1 (bounds.max"
    )
    assert (decision.actions, decision.status.attempt) == ((), None)


def test_its_defaults_are_in_the_first_attempt_and_go_on_record_with_it() -> None:
    runtime = record({"image": "ours:7", "nodeSelector": {"pool": "h100"}})
    decision = plan(under(runtime), T0)
    assert decision.status.attempt == 0
    assert decision.status.runtime == runtime
    assert decision.status.resolved is not None
    assert decision.status.resolved.image == "ours:7"


def test_a_job_that_has_begun_keeps_what_it_began_with() -> None:
    old = record({"nodeSelector": {"pool": "old"}})
    status = running(runtime=old)
    found = look(under(record({"nodeSelector": {"pool": "new"}}, maxNodes=1), status, UP), T0)
    assert found.spec is not None
    assert found.spec.node_selector == {"pool": "old"}
    assert found.mistakes == ()
    decision = plan(under(MISSING, status, UP), T0)
    assert decision.status.phase is Phase.RUNNING


def test_a_change_while_it_runs_is_told_once_and_taken_back() -> None:
    old = record({"image": "a"})
    told = plan(under(record({"image": "b"}), running(runtime=old), UP), T0).status
    note = told.condition("RuntimeChanged")
    assert note is not None
    assert (note.status, note.reason) == ("True", "Changed")
    assert "goes on as it began" in note.message
    assert plan(under(record({"image": "b"}), told, UP), later(9)).status.conditions == told.conditions
    gone = plan(under(MISSING, told, UP), later(9)).status.condition("RuntimeChanged")
    assert gone is not None
    assert gone.reason == "Gone"
    back = plan(under(old, told, UP), later(9)).status.condition("RuntimeChanged")
    assert back is not None
    assert back.status == "False"
    unknown = plan(under(SeenRuntime(), told, UP), later(9)).status
    assert unknown.condition("RuntimeChanged") == note, "an operator that has just begun knows nothing yet"


def test_what_prepares_begins_anew_under_another_runtime() -> None:
    setup = Setup(stage=SetupStage.PREPARE, number=0, generation=1, started_at=T0, created_at=T0)
    status = JobStatus(phase=Phase.PREPARING, setup=setup, runtime=record({"image": "a"}))
    pods = (pod(0, 0, name="tiny-prepare-0", uid="p", stage=SetupStage.PREPARE),)
    same = plan(under(record({"image": "a"}), status, pods, prepare={"nodes": 1}), T0).status
    assert same.setup is not None
    assert same.setup.number == 0
    other = plan(under(record({"image": "b"}), status, pods, prepare={"nodes": 1}), T0).status
    assert other.setup is not None
    assert other.setup.number == 1
    assert other.runtime == record({"image": "b"})


def rerun_of(runtime: SeenRuntime | RuntimeOnRecord, old: RuntimeOnRecord | None) -> JobStatus:
    status = running(runtime=old, phase=Phase.FAILED)
    observed = under(runtime, status)
    meta = changed(observed.job.metadata, annotations={ANNOTATION_RERUN: "again"})
    return plan(replace(observed, job=changed(observed.job, metadata=meta)), later(60)).status


def test_a_rerun_takes_the_runtime_as_it_is_now() -> None:
    new = record({"image": "b"})
    after = rerun_of(new, record({"image": "a"}))
    assert (after.attempt, after.runtime, after.rerun) == (1, new, "again")


def test_a_rerun_beyond_the_bounds_of_now_does_not_begin_and_is_not_forgotten() -> None:
    for now, reason in ((record(maxNodes=1), "OutOfBounds"), (MISSING, "RuntimeMissing")):
        after = rerun_of(now, record())
        assert (after.attempt, after.phase, after.rerun) == (0, Phase.FAILED, None)
        assert after.waiting is not None
        assert after.waiting.reason == reason


def test_a_limit_that_is_raised_while_the_job_runs_stays_within_its_bound() -> None:
    status = running(runtime=record(maxRunSeconds=60))
    found = look(under(record(), status, UP, activeDeadlineSeconds=10**6), later(3600))
    assert found.spec is not None
    assert found.spec.active_deadline_seconds == 60
    assert exceeded(found) is not None


def test_the_queue_asks_for_what_the_runtime_says() -> None:
    runtime = record({"resources": {"memory": "64Gi"}, "priorityClassName": "low"})
    claim = Claims(SETTINGS).of(job(JobStatus(runtime=runtime), runtime="h100"), T0)
    plain = Claims(SETTINGS).of(job(), T0)
    assert claim is not None
    assert plain is not None
    assert claim.demand.priority_class == "low"
    assert claim.demand.requests["memory"] == 16 * plain.demand.requests["memory"]
    asks = plan(replace(under(runtime), admission=None), T0)
    assert asks.asks
    assert asks.status.runtime == runtime, "as it asks, so that the queue knows"


def test_a_topology_keeps_the_ranks_of_an_attempt_together() -> None:
    for required, kind in ((True, "requiredDuringScheduling"), (False, "preferredDuringScheduling")):
        found = look(seen(job(topology={"label": "example.com/rack", "required": required})), T0)
        assert found.spec is not None
        body = build_pod(found.job, found.spec, 3, 1, "i", SETTINGS)
        [term] = body["spec"]["affinity"]["podAffinity"][f"{kind}IgnoredDuringExecution"]
        term = term if required else term["podAffinityTerm"]
        assert term["topologyKey"] == "example.com/rack"
        labels = body["metadata"]["labels"]
        assert term["labelSelector"]["matchLabels"].items() <= labels.items()
        assert term["labelSelector"]["matchLabels"]["llmtrain.dev/attempt"] == "3"
        assert "podAntiAffinity" in body["spec"]["affinity"]


def test_a_job_that_runs_is_looked_at_again_until_its_runtime_is_known() -> None:
    decision = plan(under(SeenRuntime(), running(runtime=record()), UP), T0)
    assert decision.requeue_after is not None
    assert decision.requeue_after <= 5
