"""The API in memory answers as a real API server does: one script, run on both, answer by answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson
import pytest
from harness.cluster import Cluster, Namespace
from harness.jobs import manifest

from llmtrain_api.names import PLURAL
from llmtrain_operator.kube.address import ClusterAddress
from llmtrain_operator.kube.api import ApiError, ClusterApi, Object
from llmtrain_operator.kube.http import HttpApi
from llmtrain_operator.local.memory_api import MemoryApi

SELECTOR = "app=conformance"
Answers = list[tuple[str, Any]]


class Side(Protocol):
    """One of the two: the calls of the engine, and what others than the engine do."""

    api: ClusterApi
    namespace: str

    async def bind(self, name: str, node: str) -> object: ...
    async def edit(self, name: str, spec: Object) -> object: ...
    async def relabel(self, name: str, labels: dict[str, str]) -> object: ...
    async def collect(self) -> None: ...


class Memory:
    def __init__(self) -> None:
        self.memory = MemoryApi()
        self.api: ClusterApi = self.memory
        self.namespace = "somewhere"

    async def bind(self, name: str, node: str) -> object:
        return self.memory.bind(self.namespace, name, node)

    async def edit(self, name: str, spec: Object) -> object:
        return self.memory.replace_spec(PLURAL, self.namespace, name, spec)

    async def relabel(self, name: str, labels: dict[str, str]) -> object:
        return self.memory.relabel("configmaps", self.namespace, name, labels)

    async def collect(self) -> None:
        await self.memory.collect_garbage()


class Real:
    def __init__(self, api: HttpApi, namespace: Namespace) -> None:
        self.http = api
        self.api: ClusterApi = api
        self.where = namespace
        self.namespace = namespace.name

    async def bind(self, name: str, node: str) -> object:
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        return await self.http.create_review(self.where.core("pods", name) + "/binding", body)

    async def edit(self, name: str, spec: Object) -> object:
        found = await self.api.get(PLURAL, self.namespace, name)
        return await asyncio.to_thread(
            self.where.cluster.call, "PUT", self.where.jobs_path(name), {**found, "spec": spec}
        )

    async def relabel(self, name: str, labels: dict[str, str]) -> object:
        found = await self.api.get("configmaps", self.namespace, name)
        body = {**found, "metadata": {**found["metadata"], "labels": labels}}
        path = self.where.core("configmaps", name)
        return await asyncio.to_thread(self.where.cluster.call, "PUT", path, body)

    async def collect(self) -> None:
        """The garbage collector does it by itself."""


def pod(name: str, owner: Object | None = None) -> Object:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    security["seccompProfile"] = {"type": "RuntimeDefault"}
    container = {"name": "main", "image": "nothing", "securityContext": security}
    return child("Pod", name, {"containers": [container], "terminationGracePeriodSeconds": 30}, owner)


def child(kind: str, name: str, spec: Object | None, owner: Object | None = None) -> Object:
    meta: Object = {"name": name, "labels": {"app": "conformance", "name": name[:60]}}
    if owner is not None:
        meta["ownerReferences"] = [
            {
                "apiVersion": "llmtrain.dev/v1alpha1",
                "kind": "LLMTrainingJob",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    body: Object = {"apiVersion": "v1", "kind": kind, "metadata": meta}
    return body if spec is None else {**body, "spec": spec}


def shape(found: Object | None) -> object:
    """What two servers can agree on: no UIDs, versions, times or defaults."""
    if found is None or "metadata" not in found:
        return None
    meta, status = found["metadata"], found.get("status", {})
    return {
        "name": meta.get("name"),
        "namespaced": "namespace" in meta,
        "identified": bool(meta.get("uid")) and int(meta["resourceVersion"]) > 0,
        "created": "creationTimestamp" in meta,
        "labels": meta.get("labels", {}),
        "generation": meta.get("generation") if found.get("kind") == "LLMTrainingJob" else None,
        "owners": len(meta.get("ownerReferences", [])),
        "going": "deletionTimestamp" in meta,
        "grace": meta.get("deletionGracePeriodSeconds"),
        "node": found.get("spec", {}).get("nodeName"),
        "phase": status.get("phase"),
        "attempt": status.get("attempt"),
        "waiting": status.get("waiting"),
    }


async def answer(call: Awaitable[Any]) -> object:
    """An object's shape, or the server's no."""
    try:
        return shape(await call)
    except ApiError as error:
        return error.status, error.reason


async def first_three(side: Side, version: str) -> list[tuple[str, Object, bool]]:
    """Kind, metadata, and whether newer than ``version``, of the next events of our ConfigMaps."""
    seen: list[tuple[str, Object, bool]] = []
    async with contextlib.aclosing(side.api.watch("configmaps", side.namespace, SELECTOR, version)) as events:
        async for event in events:
            if event.kind != "BOOKMARK":
                meta = orjson.loads(event.object)["metadata"]
                seen.append((event.kind, meta, int(meta["resourceVersion"]) > int(version)))
            if len(seen) == 3:
                break
    return seen


async def eventually(probe: Callable[[], Awaitable[bool]], collect: Callable[[], Awaitable[None]]) -> bool:
    # the real collector learns of a new kind within half a minute
    for _ in range(900):
        await collect()
        if await probe():
            return True
        await asyncio.sleep(0.1)
    return False


async def creates_and_reads(side: Side) -> Answers:
    api, ns = side.api, side.namespace
    job = manifest("one", namespace=ns)
    with_status = {**manifest("two", namespace=ns), "status": {"phase": "Succeeded", "attempt": 7}}
    return [
        ("create", await answer(api.create(PLURAL, ns, job))),
        ("create again", await answer(api.create(PLURAL, ns, job))),
        ("read", await answer(api.get(PLURAL, ns, "one"))),
        ("read what is not there", await answer(api.get(PLURAL, ns, "none"))),
        ("status in a create is dropped", await answer(api.create(PLURAL, ns, with_status))),
        (
            "service",
            await answer(api.create("services", ns, child("Service", "s", {"ports": [{"port": 1}]}))),
        ),
        (
            "service again",
            await answer(api.create("services", ns, child("Service", "s", {"ports": [{"port": 1}]}))),
        ),
        ("config", await answer(api.create("configmaps", ns, child("ConfigMap", "c.with.dots", None)))),
        ("delete what is not there", await answer(api.delete(PLURAL, ns, "none", "", 0))),
    ]


async def refuses_bad_names(side: Side) -> Answers:
    api, ns = side.api, side.namespace
    ports = {"ports": [{"port": 1}]}
    answers: Answers = []
    for name in ("Upper", "under_score", "-dash", "a" * 254, ""):
        answers.append((f"pod {name[:12]!r}", await answer(api.create("pods", ns, pod(name)))))
        answers.append(
            (
                f"config {name[:12]!r}",
                await answer(api.create("configmaps", ns, child("ConfigMap", name, None))),
            )
        )
    for name in ("a" * 64, "dot.ted"):
        answers.append(
            (
                f"service {name[:12]!r}",
                await answer(api.create("services", ns, child("Service", name, ports))),
            )
        )
    for name in ("a" * 53, "1st", "dot.ted"):
        answers.append(
            (f"job {name[:12]!r}", await answer(api.create(PLURAL, ns, manifest(name, namespace=ns))))
        )
    bad = manifest("bad", namespace=ns, nodes=0)
    answers.append(("job without nodes", await answer(api.create(PLURAL, ns, bad))))
    hostless = pod("hostless")
    hostless["spec"]["hostname"] = "not.a.label"
    answers.append(("host name", await answer(api.create("pods", ns, hostless))))
    return answers


async def patches_status(side: Side) -> Answers:
    api, ns = side.api, side.namespace
    created = await api.create(PLURAL, ns, manifest("patched", namespace=ns))
    first = created["metadata"]["resourceVersion"]

    def patch(status: Object, version: str | None = None) -> Awaitable[Object]:
        meta = {"metadata": {"resourceVersion": version}} if version else {}
        return api.patch_status(PLURAL, ns, "patched", {**meta, "status": status})

    waiting = {"reason": "R", "message": "m"}
    done = await patch({"phase": "Running", "attempt": 0, "waiting": waiting}, first)
    second = done["metadata"]["resourceVersion"]
    same = await patch({"phase": "Running"}, second)
    return [
        ("patched", shape(done)),
        ("the version has moved", first != second),
        ("stale version", await answer(patch({"phase": "Failed"}, first))),
        ("a patch that changes nothing", same["metadata"]["resourceVersion"] == second),
        ("without a version", await answer(patch({"attempt": 1}))),
        ("inner key", await answer(patch({"waiting": {"message": "other"}}))),
        ("null removes", await answer(patch({"waiting": None}))),
        (
            "only the status",
            await answer(api.patch_status(PLURAL, ns, "patched", {"spec": {"nodes": 9}, "status": {}})),
        ),
        ("nodes", (await api.get(PLURAL, ns, "patched"))["spec"]["nodes"]),
        ("not there", await answer(api.patch_status(PLURAL, ns, "none", {"status": {}}))),
    ]


async def counts_generations(side: Side) -> Answers:
    api, ns = side.api, side.namespace
    created = await api.create(PLURAL, ns, manifest("edited", namespace=ns))
    await api.patch_status(PLURAL, ns, "edited", {"status": {"phase": "Pending"}})
    spec = dict(created["spec"], nodes=3)
    return [
        ("edit", await answer(side.edit("edited", spec))),
        ("same again", await answer(side.edit("edited", spec))),
        ("read", await answer(api.get(PLURAL, ns, "edited"))),
    ]


async def deletes_pods_gracefully(side: Side) -> Answers:
    api, ns = side.api, side.namespace
    answers: Answers = []

    async def note(what: str, call: Awaitable[Any]) -> None:
        answers.append((what, await answer(call)))

    waiting = await api.create("pods", ns, pod("waiting"))
    await note("not bound: at once", api.delete("pods", ns, "waiting", waiting["metadata"]["uid"], 30))
    await note("gone", api.get("pods", ns, "waiting"))
    bound = await api.create("pods", ns, pod("bound"))
    uid = bound["metadata"]["uid"]
    with contextlib.suppress(ApiError):
        await side.bind("bound", "n1")
    answers.append(("bound twice", await answer(side.bind("bound", "n2"))))
    await note("wrong UID", api.delete("pods", ns, "bound", "00000000-0000-0000-0000-000000000000", 30))
    await note("with grace", api.delete("pods", ns, "bound", uid, 30))
    await note("going", api.get("pods", ns, "bound"))
    before = (await api.get("pods", ns, "bound"))["metadata"]["deletionTimestamp"]
    await note("shorter", api.delete("pods", ns, "bound", uid, 5))
    after = (await api.get("pods", ns, "bound"))["metadata"]["deletionTimestamp"]
    answers.append(("earlier", after < before))
    await note("longer", api.delete("pods", ns, "bound", uid, 60))
    answers.append(("stays", (await api.get("pods", ns, "bound"))["metadata"]["deletionTimestamp"] == after))
    await note("force", api.delete("pods", ns, "bound", uid, 0))
    await note("gone at once", api.get("pods", ns, "bound"))
    ended = await api.create("pods", ns, pod("ended"))
    await side.bind("ended", "n1")
    await api.patch_status("pods", ns, "ended", {"status": {"phase": "Succeeded"}})
    await note("ended: at once", api.delete("pods", ns, "ended", ended["metadata"]["uid"], 30))
    await note("gone too", api.get("pods", ns, "ended"))
    return answers


async def collects_garbage(side: Side) -> Answers:
    api, ns = side.api, side.namespace
    owner = await api.create(PLURAL, ns, manifest("owner", namespace=ns))
    await api.create("pods", ns, pod("owned", owner))
    await api.create("configmaps", ns, child("ConfigMap", "owned", None, owner))
    await api.create("configmaps", ns, child("ConfigMap", "free", None))

    async def left(name: str) -> bool:
        return not isinstance(await answer(api.get("configmaps", ns, name)), tuple)

    async def gone() -> bool:
        pods = await api.list("pods", ns, SELECTOR + ",name=owned")
        return not pods.items and not await left("owned")

    await side.collect()
    before = await gone()
    await api.delete(PLURAL, ns, "owner", owner["metadata"]["uid"], 0)
    after = await eventually(gone, side.collect)
    orphan = await answer(api.create("configmaps", ns, child("ConfigMap", "late", None, owner)))
    taken = await eventually(lambda: _not(left("late")), side.collect)
    return [
        ("nothing while the owner lives", before),
        ("all after it", after),
        ("a child of a dead owner is taken", orphan),
        ("and collected", taken),
        ("others stay", await left("free")),
    ]


async def _not(call: Awaitable[bool]) -> bool:
    return not await call


async def lists_and_watches(side: Side) -> Answers:
    api, ns = side.api, side.namespace
    await api.create("configmaps", ns, child("ConfigMap", "early", None))
    plain = child("ConfigMap", "unlabelled", None)
    plain["metadata"].pop("labels")
    await api.create("configmaps", ns, plain)
    listing = await api.list("configmaps", ns, SELECTOR)
    names = sorted(orjson.loads(item)["metadata"]["name"] for item in listing.items)
    nothing = await api.list("configmaps", ns, SELECTOR + ",name=other")

    async def follow() -> list[tuple[str, str, bool]]:
        seen = await first_three(side, listing.resource_version)
        return [(kind, meta["name"], newer) for kind, meta, newer in seen]

    late = await api.create("configmaps", ns, child("ConfigMap", "late", None))
    await api.create("configmaps", ns, {**plain, "metadata": {"name": "unlabelled-too"}})
    watching = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await api.delete("configmaps", ns, "late", late["metadata"]["uid"], 0)
    again = await api.create("configmaps", ns, child("ConfigMap", "late", None))
    return [
        ("listed", names),
        ("both labels must match", len(nothing.items)),
        ("a version", int(listing.resource_version) > 0),
        ("events", await asyncio.wait_for(watching, 20)),
        ("another UID", again["metadata"]["uid"] != late["metadata"]["uid"]),
    ]


async def hides_what_loses_its_label(side: Side) -> Answers:
    """A watch with a selector calls it DELETED and shows the object as it was; a list leaves it out."""
    api, ns = side.api, side.namespace
    made = await api.create("configmaps", ns, child("ConfigMap", "hidden", None))
    labels, version = made["metadata"]["labels"], made["metadata"]["resourceVersion"]

    async def follow() -> list[tuple[str, bool, bool]]:
        seen = await first_three(side, version)
        return [
            (kind, meta.get("labels", {}).get("app") == "conformance", newer) for kind, meta, newer in seen
        ]

    watching = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await side.relabel("hidden", {**labels, "more": "1"})
    await side.relabel("hidden", {"name": "hidden"})
    left = await api.list("configmaps", ns, SELECTOR + ",name=hidden")
    there = await answer(api.get("configmaps", ns, "hidden"))
    await side.relabel("hidden", labels)
    return [
        ("events", await asyncio.wait_for(watching, 20)),
        ("not listed", len(left.items)),
        ("still there", there),
    ]


SCRIPTS = (
    hides_what_loses_its_label,
    creates_and_reads,
    refuses_bad_names,
    patches_status,
    counts_generations,
    deletes_pods_gracefully,
    collects_garbage,
    lists_and_watches,
)


@pytest.mark.parametrize("script", SCRIPTS)
async def test_memory_and_server_give_the_same_answers(
    script: Callable[[Side], Awaitable[Answers]], cluster: Cluster, namespace: Namespace
) -> None:
    async with HttpApi(ClusterAddress(cluster.server, cluster.tls)) as http:
        real = await script(Real(http, namespace))
    assert await script(Memory()) == real
    assert len(real) >= 3
