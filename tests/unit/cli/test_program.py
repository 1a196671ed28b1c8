"""The program itself: its help, its exit codes, what it loads, and how it tells that something is wrong."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.children import ROOT, environment
from harness.jobs import job, manifest, running

from llmtrain.cli.app import PASSED_ON, VERBS, main
from llmtrain.cli.page import page
from llmtrain.client import Client
from llmtrain.cluster import ApiServer
from llmtrain.errors import EXIT_CODES, NotFound
from llmtrain.foreseen import made_of
from llmtrain.kubernetes_backend import KubernetesBackend
from llmtrain_api import Job
from llmtrain_api.version import VERSION

HEAVY = ("kopf", "kubernetes", "torch", "pydantic", "aiohttp", "rich.live", "llmtrain_operator.plan")
JOBS = "/apis/llmtrain.dev/v1alpha1/namespaces/team/llmtrainingjobs"
SWEEPS = "/apis/llmtrain.dev/v1alpha1/namespaces/team/llmtrainingsweeps"


class Answers(dict[str, Any]):
    """What a server says, by path; what it was asked, in order."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[tuple[str, str, Any]] = []


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """An API server that says what a test wants, and a kubeconfig for it."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            answers.asked.append((self.command, self.path, body))
            plain = self.path.partition("?")[0]
            found = answers.get(self.path) or answers.get(plain) or (404, {"message": "no such path"})
            # of a list one after the other, the last for good
            code, said = (found.pop(0) if len(found) > 1 else found[0]) if isinstance(found, list) else found
            content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{http.server_port}")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        yield answers
        http.shutdown()
        thread.join(10)


def write_kubeconfig(path: Path, server: str) -> None:
    context = {"name": "test", "context": {"cluster": "c", "user": "u", "namespace": "team"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [context],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
    }
    path.write_text(yaml.safe_dump(config))


def held(name: str = "tiny", **fields: Any) -> dict[str, Any]:
    raw = manifest(name, "team") | {"status": running(**fields).to_json()}
    raw["metadata"] |= {"uid": "u-1", "resourceVersion": "7"}
    return raw


def listing(*items: dict[str, Any]) -> tuple[int, Any]:
    bare = [
        {key: value for key, value in item.items() if key not in ("apiVersion", "kind")} for item in items
    ]
    kind = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingJobList"}
    return 200, kind | {"metadata": {}, "items": bare}


def test_help_loads_nothing_heavy_and_names_every_verb_and_exit_code() -> None:
    code = (
        "import sys\nfrom llmtrain.cli.app import main\nmain(['--help'])\n"
        f"sys.exit(', '.join(m for m in {HEAVY!r} if m in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(COLUMNS="200"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"it loads {done.stderr}"
    assert all(name in done.stdout for name in (*(v[1] for v in VERBS), *PASSED_ON))
    assert all(text in " ".join(done.stdout.split()) for _, text in EXIT_CODES)


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"llmtrain {VERSION}\n"


def test_the_page_is_as_the_program_is() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "make generate"


def test_a_list_for_people_and_for_programs(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    server[JOBS] = listing(held("b-job"), held("a-job"))
    assert main(["ls"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[:2] for row in rows] == [
        ["NAME", "PHASE"],
        ["a-job", "Running"],
        ["b-job", "Running"],
    ]
    assert main(["ls", "-o", "json"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert items[0] == held("a-job"), "a list's items say what they are, too"
    assert main(["ls", "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["items"] == items


def test_a_long_list_is_read_page_by_page(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    first = listing(held("one"))[1]
    first["metadata"]["continue"] = "more"
    server[JOBS] = (200, first)
    server[f"{JOBS}?limit=500&continue=more"] = listing(held("two"))
    assert main(["ls"]) == 0
    assert [row.split()[0] for row in capsys.readouterr().out.splitlines()[1:]] == ["one", "two"]


def test_a_job_that_is_not_there_is_told_with_those_like_it(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    server[JOBS] = listing(held("helpdesk"), held("other"))
    server[f"{JOBS}/helpdsk"] = (404, {"message": 'not found: "helpdsk"', "details": {"name": "helpdsk"}})
    assert main(["show", "helpdsk"]) == 3
    assert capsys.readouterr().err == "error: no job helpdsk in namespace team; did you mean helpdesk?\n"


def test_a_name_is_one_step_of_a_path_whatever_is_in_it(server: Answers) -> None:
    server[JOBS] = listing()
    assert main(["delete", "../../pods/x?y"]) != 0
    assert [path for _, path, _ in server.asked if path.startswith(f"{JOBS}/")] == [
        f"{JOBS}/..%2F..%2Fpods%2Fx%3Fy"
    ]


@pytest.mark.parametrize(
    ("status", "answer", "code", "told"),
    [
        (401, {"message": "Unauthorized"}, 5, "log in again"),
        (403, {"message": "u cannot list llmtrainingjobs"}, 5, "u cannot list"),
        (404, "404 page not found", 4, "install the operator"),
        (500, {"message": "etcd is away"}, 1, "etcd is away"),
        (200, "<html>a proxy</html>", 4, "no API server"),
    ],
)
def test_what_the_cluster_refuses_is_one_sentence_with_the_fix(
    server: Answers, capsys: pytest.CaptureFixture[str], status: int, answer: Any, code: int, told: str
) -> None:
    server[JOBS] = (status, answer)
    assert main(["ls"]) == code
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert "secret-token" not in said


def test_no_cluster_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["ls"]) == 4
    assert "KUBECONFIG" in capsys.readouterr().err
    with nobody() as port:
        write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        assert main(["ls"]) == 4
    assert f"no answer from http://127.0.0.1:{port}" in capsys.readouterr().err
    assert main(["ls", "--context", "tset"]) == 2
    assert "did you mean test?" in capsys.readouterr().err


@contextmanager
def nobody() -> Iterator[int]:
    """A port that is taken and at which nobody answers."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_wrong_manifest_never_reaches_the_cluster(
    server: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(manifest(nodez=2, nodes=0)))
    assert main(["submit", str(path)]) == 2
    assert [line.split(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "spec.nodes",
        "spec.nodez",
    ]
    assert server.asked == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "it cannot be read: No such file or directory"),
        ("a: [", "line 1, column 5 is no YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\nb:\t1\nb: :\n", "line 2, column 3 is no YAML: found character"),
        ("a: \xff", "it is not UTF-8 (byte 3); save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_sentence_whether_or_not_there_is_a_cluster(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    told: str,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    path = tmp_path / "job.yaml"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    for verb in ("submit", "run", "check", "import"):
        assert main([verb, str(path)]) == 2
        said = capsys.readouterr().err
        assert f"{path}: {told}" in said
        assert len(said.splitlines()) == 1


def test_what_the_cluster_finds_wrong_is_told_by_field(
    server: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yaml"
    document = manifest()
    document["metadata"].pop("namespace")
    path.write_text(json.dumps(document))
    causes = [{"field": "spec.nodes", "message": "Invalid value: use at most 2"}]
    server[JOBS] = (422, {"reason": "Invalid", "message": "it is invalid", "details": {"causes": causes}})
    assert main(["submit", str(path), "--set", "training.maxSteps=9", "--name", "mine"]) == 2
    assert capsys.readouterr().err == "error: spec.nodes: Invalid value: use at most 2\n"
    [(method, _, sent)] = server.asked
    assert (method, sent["metadata"]) == ("POST", {"name": "mine", "namespace": "team"})
    assert sent["spec"]["training"]["maxSteps"] == 9


def test_a_dry_run_tells_what_the_namespace_lacks(
    server: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = manifest(
        namespace="team",
        model={"name": "owner/base", "secret": "hub"},
        dataset={"name": "pvc://data/text"},
        imagePullSecrets=[{"name": "mine"}],
        nodes=4,
    )
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(asked))
    server[JOBS] = (201, asked | {"metadata": {"name": "tiny", "namespace": "team"}})
    core = "/api/v1/namespaces/team"
    server[f"{core}/secrets/hub"] = server[f"{core}/persistentvolumeclaims/data"] = (200, {"metadata": {}})
    server[f"{core}/secrets/mine"] = (403, {"message": "secrets is forbidden"})
    hard, used = {"requests.cpu": "3", "pods": "9"}, {"requests.cpu": "1", "pods": "1"}
    meta = {"name": "training", "uid": "q", "resourceVersion": "1"}
    quota = {"metadata": meta, "status": {"hard": hard, "used": used}}
    server[f"{core}/resourcequotas"] = (200, {"items": [quota]})
    assert main(["submit", str(path), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "job team/tiny would be taken in (nothing was created)",
        "first, without GPUs: a pod that looks at the model",
        "gang: 4 pods, each with cpu 1, memory 4Gi",
    ]
    assert said.err.splitlines() == [
        "not looked at: spec.imagePullSecrets[0].name: you may not read Secret mine",
        "it would wait: spec.output.uri: the namespace has no claim checkpoints",
        "it would wait: quota training: requests.cpu 4 needed, 2 left of 3",
    ]
    server[f"{core}/resourcequotas"] = (403, {"message": "resourcequotas is forbidden"})
    assert main(["submit", str(path), "--dry-run"]) == 0
    assert "not looked at: you may not read the namespace's quotas" in capsys.readouterr().err


def test_a_dry_run_tells_what_the_operator_would_refuse(
    server: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The API server takes it in: on a laptop that output is right."""
    asked = manifest(namespace="team", output={"uri": "file:///data/run"})
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(asked))
    server[JOBS] = (201, asked)
    assert main(["submit", str(path), "--dry-run"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: spec.output.uri: got 'file:///data/run', a folder that is gone")
    assert not said.out


def test_a_dry_run_tells_of_every_pod_that_would_be_made() -> None:
    asked = manifest(
        nodes=3,
        minNodes=2,
        gpusPerNode=4,
        runtime="big",
        model={"name": "owner/base"},
        resources={"cpu": "2500m", "memory": "64Gi"},
    )
    first, gang = made_of(Job.model_validate(asked))
    assert first == "first, without GPUs: a pod that looks at the model, then a pod that prepares the data"
    each = "cpu 2.5, memory 64Gi, nvidia.com/gpu 4"
    assert gang == f"gang: 3 pods (at least 2), each with {each}; runtime big may add to that"


def sweep_file(folder: Path, **fields: Any) -> Path:
    document = yaml.safe_load((ROOT / "examples/sweep.yaml").read_text())
    document["spec"] |= fields
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_sweep_is_submitted_or_refused_as_a_job_is(
    server: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep_file(tmp_path)
    name = yaml.safe_load(path.read_text())["metadata"]["name"]
    server[SWEEPS] = (201, {"metadata": {"name": name, "namespace": "team"}})
    assert main(["submit", str(path), "--dry-run"]) == main(["submit", str(path)]) == 0
    assert f"kubectl get llmsweep {name}" in capsys.readouterr().out
    assert [asked[1].partition("?")[2] for asked in server.asked] == ["dryRun=All", ""]
    server[SWEEPS] = (409, {"reason": "AlreadyExists", "message": "it is there"})
    assert main(["submit", str(path)]) == 2
    assert f"sweep {name} already exists in namespace team" in capsys.readouterr().err
    count = len(server.asked)
    assert main(["submit", str(path), "--set", "trials=3"]) == 2
    assert "are for a job" in capsys.readouterr().err
    assert main(["submit", str(sweep_file(tmp_path, trials=0))]) == 2
    assert "spec.trials" in capsys.readouterr().err
    assert len(server.asked) == count, "nothing that is wrong is sent"


def test_a_sweep_is_read_with_what_came_of_it(server: Answers) -> None:
    server[f"{SWEEPS}/rates"] = (200, {"metadata": {"name": "rates"}, "status": {"summary": "2/3"}})
    server[f"{SWEEPS}/none"] = (404, {"reason": "NotFound", "message": "no", "details": {"name": "none"}})
    client = Client(KubernetesBackend(ApiServer()))
    assert client.get_sweep("rates")["status"]["summary"] == "2/3"
    with pytest.raises(NotFound, match="there is no sweep none in namespace team"):
        client.get_sweep("none")


def test_a_hold_of_failures_is_a_field_that_may_be_edited(server: Answers) -> None:
    path = f"{JOBS}/tiny"
    server[path] = (200, held())
    assert main(["debug", "tiny", "--hold", "600"]) == main(["debug", "tiny", "--hold", "0"]) == 0
    patches = [asked[2]["spec"]["recovery"] for asked in server.asked if asked[2]]
    assert patches == [{"holdSeconds": 600}, {"holdSeconds": None}]


def test_stop_resume_and_retry_say_it_in_the_object(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{JOBS}/tiny"
    server[path] = (200, held())
    assert main(["stop", "tiny"]) == main(["resume", "tiny"]) == 0
    assert [asked[2] for asked in server.asked] == [{"spec": {"suspend": True}}, {"spec": {"suspend": False}}]
    assert main(["retry", "tiny"]) == 2, "it is not over"
    assert "only a job that is over" in capsys.readouterr().err
    server[path] = (200, held(phase="Failed"))
    assert main(["retry", "tiny"]) == 0
    [*_, (method, _, sent)] = server.asked
    assert method == "PATCH"
    assert sent["metadata"]["annotations"]["llmtrain.dev/rerun"]
    capsys.readouterr()
    for verb in ("stop", "resume", "retry"):
        assert main([verb, "tiny", "-o", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["metadata"]["name"] == "tiny"


def test_a_log_that_is_gone_is_told_from_the_status(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = {"number": 0, "startedAt": "2026-01-02T03:04:05Z", "failureClass": "UserError"}
    failure = {"class": "UserError", "message": "boom", "rank": 1, "logTail": "first\nlast \x1b[31mline"}
    raw = held()
    raw["status"] |= {"phase": "Failed", "failure": failure, "attempts": [attempt]}
    server[f"{JOBS}/tiny"] = (200, raw)
    server["/api/v1/namespaces/team/pods"] = (200, {"items": []})
    assert main(["logs", "tiny"]) == 0
    told = capsys.readouterr()
    assert told.out == "first\nlast line\n"
    assert "pvc://checkpoints/tiny/logs/attempt-0" in told.err
    assert main(["logs", "tiny", "--tail", "1"]) == 0
    assert capsys.readouterr().out == "last line\n"
    assert main(["logs", "tiny", "--rank", "0"]) == 3
    assert "pvc://checkpoints/tiny/logs/attempt-0" in capsys.readouterr().err
    assert main(["logs", "tiny", "--rank", "2"]) == 2
    assert main(["logs", "tiny", "--attempt", "7"]) == 3


def test_the_log_of_a_pod_is_followed_over_a_broken_stream_until_the_job_is_over(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"llmtrain.dev/attempt": "0", "llmtrain.dev/rank": "0"}
    runs: dict[str, Any] = {"containerStatuses": [{"state": {"running": {}}}]}
    ended: dict[str, Any] = {"containerStatuses": [{"state": {"terminated": {}}}]}
    pod: dict[str, Any] = {
        "metadata": {"name": "tiny-0-0", "namespace": "team", "uid": "p", "labels": labels},
        "spec": {"containers": [{"name": "trainer"}, {"name": "sidecar"}]},
        "status": runs,
    }
    server[f"{JOBS}/tiny"] = (200, held(phase="Succeeded"))
    server["/api/v1/namespaces/team/pods"] = (200, {"items": [pod]})
    path = "/api/v1/namespaces/team/pods/tiny-0-0"
    server[path] = [(200, pod), (200, pod | {"status": ended})]
    first, second, third = (f"2026-01-02T03:04:0{n}.000000000Z line {n}" for n in (1, 2, 3))
    server[f"{path}/log"] = [(200, f"{first}\n{second}\n"), (200, f"{second}\n{third}\n")]
    assert main(["logs", "tiny", "-f", "--tail", "2"]) == 0
    assert capsys.readouterr().out == "line 1\nline 2\nline 3\n"
    asked = [url for _, url, _ in server.asked if url.startswith(f"{path}/log")]
    assert all("container=trainer" in url for url in asked)
    assert "tailLines=2" in asked[0]
    assert "sinceTime=2026-01-02T03%3A04%3A02" in asked[1]
    server[f"{path}/log"] = (200, "all of it\n")
    assert main(["logs", "tiny"]) == 0
    assert capsys.readouterr().out == "all of it\n"


def test_colours_only_where_somebody_sees_them(
    server: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server[JOBS] = listing(held())
    monkeypatch.setenv("NO_COLOR", "")
    assert main(["ls"]) == 0
    assert "\x1b[" not in capsys.readouterr().out, "that is no terminal"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert main(["ls"]) == 0
    assert "\x1b[32m" in capsys.readouterr().out
    assert main(["ls", "--no-color"]) == 0
    assert "\x1b[32m" not in capsys.readouterr().out


def ended_by_ctrl_c(program: subprocess.Popen[bytes], terminal: int) -> int | None:
    """Press once, and read on, as a terminal does; None: it has not ended in half a minute."""
    program.send_signal(signal.SIGINT)
    limit = time.monotonic() + 30
    while program.poll() is None and time.monotonic() < limit:
        if select.select([terminal], [], [], 0.05)[0]:
            with suppress(OSError):  # its end has closed the terminal
                os.read(terminal, 1 << 16)
    code = program.poll()
    program.kill()
    return code


def test_top_looks_again_and_again_until_ctrl_c(server: Answers, tmp_path: Path) -> None:
    server[JOBS] = [listing(held("first")), listing(held("second"))]
    main_end, own = pty.openpty()
    env = environment(KUBECONFIG=str(tmp_path / "config"), TERM="xterm-256color", COLUMNS="200")
    command = [sys.executable, "-m", "llmtrain", "top", "--every", "0.5"]
    with subprocess.Popen(command, env=env, stdin=own, stdout=own, stderr=own) as program:
        os.close(own)
        told = ""
        while "second" not in told:
            told += os.read(main_end, 1 << 16).decode(errors="replace")
        assert ended_by_ctrl_c(program, main_end) == 0
    os.close(main_end)
    assert "first" in told
    assert "LOSS SINCE" in told


def test_top_without_a_terminal_looks_once(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    server[JOBS] = listing(held())
    assert main(["top"]) == 0
    assert "Running" in capsys.readouterr().out


def test_why_for_programs(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    server[f"{JOBS}/tiny"] = (200, held())
    server["/api/v1/namespaces/team/events"] = (200, {"items": []})
    assert main(["why", "tiny", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "Running"
    assert found["paragraph"].startswith("Tiny runs")


def test_who_may_not_read_events_is_answered_without(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    server[f"{JOBS}/tiny"] = (200, held())
    server["/api/v1/namespaces/team/events"] = (403, {"message": "u cannot list events"})
    assert main(["why", "tiny"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("Tiny runs")
    assert told.err.startswith("without events: ")


def test_presets_of_the_cluster_and_of_the_namespace(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    root = JOBS.partition("/namespaces/")[0]
    own, shared = "llmtrainingruntimes", "clusterllmtrainingruntimes"
    kinds = [
        {"name": "llmtrainingjobs", "kind": "LLMTrainingJob", "namespaced": True},
        {"name": own, "kind": "LLMTrainingRuntime", "namespaced": True},
        {"name": f"{own}/status", "kind": "LLMTrainingRuntime", "namespaced": True},
        {"name": shared, "kind": "ClusterLLMTrainingRuntime", "namespaced": False},
    ]
    server[root] = (200, {"resources": kinds[:1]})
    assert main(["presets"]) == 0
    assert "no presets are offered to namespace team" in capsys.readouterr().out
    server[root] = (200, {"resources": kinds})
    spec = {
        "defaults": {"nodeSelector": {"pool": "a100"}, "image": "x"},
        "bounds": {"overrides": []},
        "description": "for all",
    }
    other = {"metadata": {"name": "h200"}, "spec": {"namespaces": ["rich"]}}
    server[f"{root}/namespaces/team/{own}"] = (
        200,
        {"items": [{"metadata": {"name": "mine", "namespace": "team"}}]},
    )
    server[f"{root}/{shared}"] = (200, {"items": [{"metadata": {"name": "a100"}, "spec": spec}, other]})
    assert main(["presets"]) == 0
    told = [line.split("   ") for line in capsys.readouterr().out.splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in told[1:]] == [
        ["a100", "the cluster", "image, nodeSelector", "overrides", "for all"],
        ["mine", "team"],
    ]


def test_a_status_of_a_newer_operator_is_told_in_a_sentence(
    server: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = held()
    raw["status"]["phase"] = "Levitating"
    server[f"{JOBS}/tiny"] = (200, raw)
    assert main(["why", "tiny"]) == 1
    told = capsys.readouterr().err
    assert "update llmtrain" in told
    assert "Levitating" in told
    assert "Traceback" not in told


def test_a_word_that_nobody_knows_is_told_with_what_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "zeroStge"]) == 3
    assert "did you mean zeroStage" in capsys.readouterr().err
    assert main(["explain", "GpuOutOfMemory"]) == 0
    assert "activationCheckpointing" in capsys.readouterr().out


def test_the_spec_that_is_kept_is_what_was_read() -> None:
    assert job().spec == manifest()["spec"]


@pytest.mark.parametrize("name", ["llmtrain", "llmtrain_operator.local"])
def test_the_program_runs_by_its_name_and_by_the_one_it_had(name: str) -> None:
    command = [sys.executable, "-W", "ignore", "-m", name, "run", "--help"]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "Usage: llmtrain run" in ended.stdout
