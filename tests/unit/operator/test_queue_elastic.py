"""With how many nodes a gang starts that may have fewer than it wants, and who comes first when it grows."""

from __future__ import annotations

from harness.gangs import claim, demand, node, quota, view
from harness.jobs import T0, job, running

from llmtrain_api import Attempt, EndReason, JobStatus, Phase, changed
from llmtrain_operator.plan.situation import read_spec
from llmtrain_operator.scheduling.admit import admit
from llmtrain_operator.scheduling.claims import Size, size_of
from llmtrain_operator.scheduling.values import View

BIG = demand(cpu=8)


def nodes(count: int) -> View:
    return view(*(node(f"n{i}", cpu=8) for i in range(count)))


def size(status: JobStatus | None, **spec: object) -> Size:
    fields = {"nodes": 3, "minNodes": 1} | spec
    of = job(status, **fields)
    found, mistakes = read_spec(of, True, None)
    assert found is not None, mistakes
    return size_of(found, of.status)


def test_it_starts_with_as_many_as_there_is_room_for() -> None:
    answer = admit([], [claim("j", 3, BIG, least=1)], nodes(2))["uid-j"]
    assert (answer.admitted, answer.nodes) == (True, 2)
    assert "room for 2 of 3 pods" in answer.message
    whole = admit([], [claim("j", 3, BIG, least=1)], nodes(3))["uid-j"]
    assert (whole.nodes, whole.message) == (3, "")


def test_it_waits_for_the_fewest_and_says_how_many_those_are() -> None:
    answer = admit([], [claim("j", 3, BIG, least=2)], nodes(1))["uid-j"]
    assert not answer.admitted
    assert "1 of 2 pods would find a node" not in answer.message or "minNodes 2" in answer.message
    assert "minNodes 2" in answer.message


def test_a_quota_makes_it_smaller_too() -> None:
    limited = view(*(node(f"n{i}", cpu=8) for i in range(3)), quotas={"default": (quota(pods=2),)})
    assert admit([], [claim("j", 3, BIG, least=1)], limited)["uid-j"].nodes == 2


def test_who_starts_again_chooses_from_its_own_room_before_all_others() -> None:
    again = claim("again", 2, BIG, 9, least=1, refits=True, placed={"n0": 1})
    used = {"n0": BIG.requests}
    seen = view(*(node(f"n{i}", cpu=8) for i in range(2)), used=used)
    found = admit([again], [claim("first", 1, BIG, 0, priority=5)], seen)
    assert found["uid-again"].nodes == 2
    assert not found["uid-first"].admitted


def test_a_lost_node_makes_the_next_gang_smaller_or_makes_it_queue() -> None:
    again = claim("again", 2, BIG, least=1, refits=True)
    assert admit([again], [], nodes(1))["uid-again"].nodes == 1
    strict = claim("again", 2, BIG, least=2, refits=True)
    answer = admit([strict], [], nodes(1))["uid-again"]
    assert not answer.admitted
    assert answer.reason == "WaitingForCapacity"


def test_it_grows_into_what_is_free_and_nobody_waits_for() -> None:
    runs = claim("runs", 1, BIG, placed={"n0": 1}, made=1, wants=3)
    seen = view(*(node(f"n{i}", cpu=8) for i in range(3)), used={"n0": BIG.requests})
    assert admit([runs], [], seen)["uid-runs"].nodes == 3
    waits = claim("waits", 3, BIG, 5)
    assert admit([runs], [waits], seen)["uid-runs"].nodes == 1
    fits = claim("fits", 1, BIG, 5)
    assert admit([runs], [fits], seen)["uid-runs"].nodes == 2


def test_two_do_not_grow_into_the_same_node() -> None:
    one = claim("one", 1, BIG, 0, placed={"n0": 1}, made=1, wants=2)
    two = claim("two", 1, BIG, 1, placed={"n1": 1}, made=1, wants=2)
    used = {"n0": BIG.requests, "n1": BIG.requests}
    found = admit([two, one], [], view(*(node(f"n{i}", cpu=8) for i in range(3)), used=used))
    assert (found["uid-one"].nodes, found["uid-two"].nodes) == (2, 1)


def test_what_a_job_asks_for_follows_from_what_is_on_record() -> None:
    assert size(None) == Size(3, 1)
    two = changed(running().attempts[0], nodes=2)
    assert size(running(attempts=[two])) == Size(2, wants=3)
    growing = changed(two, stopping_at=T0, reason=EndReason.RESIZED, next_nodes=3)
    assert size(running(attempts=[growing])) == Size(3), "the room that it is ended for is kept"
    ended = changed(growing, ended_at=T0)
    again = running(phase=Phase.RESTARTING, attempt=1, attempts=[ended, Attempt(number=1, started_at=T0)])
    assert size(again) == Size(3, 1, refits=True)
    failed = changed(two, ended_at=T0)
    after = running(phase=Phase.RESTARTING, attempt=1, attempts=[failed, Attempt(number=1, started_at=T0)])
    assert size(after) == Size(2, 1, refits=True), "no more than it held"
    late = changed(two, ended_at=T0, reason=EndReason.START_DEADLINE, next_nodes=1)
    queued = running(phase=Phase.QUEUED, attempt=1, attempts=[late, Attempt(number=1, started_at=T0)])
    assert size(queued) == Size(1, 1), "no more than got up"
    assert size(running(), nodes=2, minNodes=2) == Size(2)
