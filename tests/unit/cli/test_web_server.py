"""The page's server on a real socket: who sees what, what is told as it happens, and what is never done."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.jobs import UID
from harness.web import Cluster, Reviews, Site, body, served

from llmtrain.web import stream
from llmtrain.web.__main__ import parse
from llmtrain.web.access import OneToken, Reviewed
from llmtrain.web.answers import STATIC
from llmtrain.web.guards import CSP
from llmtrain.web.sources import LocalSource
from llmtrain_api import Progress
from llmtrain_api.names import PLURAL
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.local.saved_jobs import JobFolder

ROOT = Path(__file__).resolve().parents[3]
ACTION = {"X-Llmtrain-Action": "1"}


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    api = MemoryApi()
    for name, namespace in (("one", "team-a"), ("two", "team-b")):
        found = body(name, namespace)
        await api.create(PLURAL, namespace, found)
        await api.patch_status(PLURAL, namespace, name, {"status": found["status"]})
    source = Cluster(api)
    source.api = api  # type: ignore[attr-defined]
    async with served(source, Reviewed(Reviews())) as site:
        yield site


async def test_who_has_no_token_or_a_wrong_one_sees_nothing_but_the_empty_page(cluster: Site) -> None:
    for path in (
        "/api/me",
        "/api/stream",
        "/api/jobs/team-a/one",
        "/api/jobs/team-a/one/logs",
        "/api/compare",
    ):
        for token in ("", "guess"):
            status, answer = await cluster.get(path, token)
            assert (status, "token" in answer["error"]) == (401, True), path
    async with cluster.session.get(cluster.address + "/") as response:
        assert response.status == 200
        assert response.headers["Content-Security-Policy"] == CSP
        assert "unsafe" not in CSP
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "one" not in (await response.text()).split()
    assert (await cluster.get("/../../secrets"))[0] == 404
    async with cluster.session.get(cluster.address + "/readyz") as response:
        assert (response.status, await response.text()) == (200, "ok")


async def test_a_user_sees_the_jobs_of_their_own_namespace_alone(cluster: Site) -> None:
    async with cluster.told("anna-token") as messages:
        event, rows = await anext(messages)
        assert (event, [row["name"] for row in rows]) == ("jobs", ["one"])
    async with cluster.told("admin-token") as messages:
        _, rows = await anext(messages)
        assert sorted(row["name"] for row in rows) == ["one", "two"]
    status, answer = await cluster.get("/api/me", "stranger-token")
    assert (status, "may not list" in answer["error"]) == (403, True)
    assert (await cluster.get("/api/stream", "stranger-token"))[0] == 403
    for path in ("", "/curve", "/logs"):
        assert (await cluster.get(f"/api/jobs/team-b/two{path}", "anna-token"))[0] == 403
        assert (await cluster.get(f"/api/jobs/team-b/none{path}", "anna-token"))[0] == 403, (
            "nor whether it is there"
        )
    assert (await cluster.get("/api/jobs/team-a/none", "anna-token"))[0] == 404
    assert (await cluster.get("/api/compare?a=team-a/one&b=team-b/two", "anna-token"))[0] == 403
    assert (await cluster.get("/api/compare?a=one&b=two", "anna-token"))[0] == 403


async def test_a_job_is_told_whole_and_what_the_user_may_not_read_is_said(cluster: Site) -> None:
    status, page = await cluster.get("/api/jobs/team-a/one", "anna-token")
    assert (status, page["row"]["phase"], page["why"]["state"]) == (200, "Running", "Running")
    assert (page["events"], "does not allow" in page["eventsNote"]) == ([], True)
    assert page["actions"] == ["suspend"], "delete is not theirs"
    _, page = await cluster.get("/api/jobs/team-a/one", "admin-token")
    assert page["events"][0]["message"] == "of one"
    assert page["actions"] == ["suspend", "delete"]
    status, found = await cluster.get("/api/jobs/team-a/one/logs?rank=1&tail=3", "anna-token")
    assert (status, found["lines"]) == (200, ["rank 1 line 0", "rank 1 line 1", "rank 1 line 2"])
    for all_there_is in (0, -1):
        _, found = await cluster.get(f"/api/jobs/team-a/one/logs?tail={all_there_is}", "anna-token")
        assert len(found["lines"]) == 1
    _, found = await cluster.get("/api/jobs/team-a/one/logs?tail=999999", "anna-token")
    assert len(found["lines"]) == 2000
    gone = {"lines": [], "note": "there was no attempt 9"}
    assert await cluster.get("/api/jobs/team-a/one/logs?attempt=9", "anna-token") == (200, gone)
    assert (await cluster.get("/api/jobs/team-a/one/logs?rank=x", "anna-token"))[0] == 400
    status, found = await cluster.get("/api/compare?a=team-a/one&b=team-b/two", "admin-token")
    assert (status, [row["name"] for row in found["rows"]]) == (200, ["one", "two"])


async def test_changes_are_told_as_they_happen_and_become_a_curve(cluster: Site) -> None:
    api = cluster.source.api
    async with asyncio.timeout(20), cluster.told("anna-token") as messages:
        await anext(messages)
        for step in (1, 2):
            progress = Progress(step=step, total_steps=4, loss=5.0 - step)
            for name, namespace in (("two", "team-b"), ("one", "team-a")):
                await api.patch_status(PLURAL, namespace, name, {"status": {"progress": progress.to_json()}})
            event, row = await anext(messages)
            assert (event, row["name"], row["step"]) == ("job", "one", step), "nothing of team-b"
        _, curve = await cluster.get("/api/jobs/team-a/one/curve", "anna-token")
        assert curve["columns"]["step"] == [1, 2]
        assert curve["columns"]["loss"] == [4.0, 3.0]
        await api.delete(PLURAL, "team-a", "one", "", 0)
        assert await anext(messages) == ("gone", ["team-a", "one"])


async def test_streams_are_bounded(cluster: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STREAMS_OF_ONE", 1)
    async with cluster.told("anna-token") as messages:
        await anext(messages)
        assert (await cluster.get("/api/stream", "anna-token"))[0] == 429
        async with cluster.told("admin-token") as others:
            await anext(others)
    async with asyncio.timeout(20):
        # the place of a page that is gone is free again
        while (await cluster.get("/api/stream", "stranger-token"))[0] != 403 or cluster.page.streams.open:
            pass


async def test_a_change_is_made_as_the_user_and_only_from_this_page(cluster: Site) -> None:
    done, path = cluster.source.done, "/api/jobs/team-a/one"
    assert (await cluster.post(f"{path}/suspend", **ACTION))[0] == 401
    assert (await cluster.post(f"{path}/suspend", "anna-token"))[0] == 403, "no header of our own"
    elsewhere = (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    )
    for headers in elsewhere:
        assert (await cluster.post(f"{path}/suspend", "anna-token", **ACTION, **headers))[0] == 403, headers
    assert (await cluster.post(f"{path}/delete", "anna-token", **ACTION))[0] == 403
    assert (await cluster.post("/api/jobs/team-b/two/suspend", "anna-token", **ACTION))[0] == 403
    assert (await cluster.post(f"{path}/explode", "admin-token", **ACTION))[0] == 404
    assert (await cluster.get(f"{path}/suspend", "anna-token", **ACTION))[0] == 405
    assert done == []
    here = {"Origin": cluster.address, "Sec-Fetch-Site": "same-origin"}
    assert await cluster.post(f"{path}/suspend", "anna-token", **ACTION, **here) == (200, {})
    assert (await cluster.post(f"{path}/delete", "admin-token", **ACTION))[0] == 200
    assert done == [
        ("anna-token", "patch", "team-a", "one", '{"spec": {"suspend": true}}'),
        ("admin-token", "delete", "team-a", "one"),
    ]


async def test_the_page_of_a_laptop_shows_its_runs_to_who_knows_the_token(tmp_path: Path) -> None:
    (tmp_path / ".llmtrain").mkdir()
    kept = body("tiny", "default")
    kept["metadata"] |= {"uid": UID, "generation": 1, "resourceVersion": "9"}
    folder = JobFolder(tmp_path, "default", "tiny")
    output = tmp_path / "checkpoints" / "tiny"
    folder.save(kept, str(output))
    logs = output / "logs" / "attempt-0"
    logs.mkdir(parents=True)
    (output / "OWNER").write_text(json.dumps({"jobUid": UID}))
    rows = logs / "metrics.jsonl"
    rows.write_text('{"step": 1, "loss": 4.0, "phases": {"data": 0.5}}\n')
    async with served(LocalSource(tmp_path), OneToken("secret")) as site:
        assert (await site.get("/api/me", "other"))[0] == 401
        assert (await site.get("/api/me", "secret", Host="rebound.example"))[0] == 421
        assert await site.get("/api/me", "secret") == (200, {"user": "you", "source": "local"})
        async with asyncio.timeout(20), site.told("secret") as messages:
            _, [row] = await anext(messages)
            assert (row["name"], row["phase"]) == ("tiny", "Suspended")
            with rows.open("a") as file:
                file.write('{"step": 2, "loss": 3.0}\n')
            assert (await anext(messages))[0] == "job", "its curve has grown"
        _, curve = await site.get("/api/jobs/default/tiny/curve", "secret")
        assert curve["columns"]["loss"] == [4.0, 3.0]
        assert curve["phases"] == {"data": 0.5}


def test_the_flags_of_the_chart_are_those_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    found = parse(["--port=8080", "--watch-namespace=a", "--certificate=/tls/tls.crt", "--key=/tls/tls.key"])
    assert (found.port, found.namespace, found.key) == (8080, "a", Path("/tls/tls.key"))
    with pytest.raises(SystemExit):
        parse(["--certificate=/x"])
    assert "go together" in capsys.readouterr().err


def test_the_bundle_is_small_and_has_nothing_from_elsewhere() -> None:
    import gzip

    files = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    assert sorted(files) == ["app.css", "app.js", "icon.svg", "index.html"]
    assert sum(len(gzip.compress(found)) for found in files.values()) < 100_000
    assert b"<script>" not in files["index.html"]
    assert b"style=" not in files["index.html"]
    assert b"http" not in files["app.css"] + files["index.html"]


def test_the_bundle_is_what_its_sources_make(tmp_path: Path) -> None:
    if shutil.which("node") is None or not (ROOT / "web" / "node_modules" / "vite").is_dir():
        pytest.skip("the bundle is not built anew: Node or web/node_modules is not here (npm ci in web/)")
    command = ["npx", "vite", "build", "--outDir", str(tmp_path / "static"), "--logLevel", "error"]
    subprocess.run(command, cwd=ROOT / "web", check=True, timeout=120)

    def digests(folder: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    assert digests(tmp_path / "static") == digests(STATIC), "make web, and commit what it wrote"
