"""Jobs of Kubeflow as jobs of ours: what runs is the same, and what differs is told."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmtrain.cli.app import main
from llmtrain.errors import Mistake
from llmtrain.importing import imported
from llmtrain.importing.program import program_of
from llmtrain_operator.local.manifest_yaml import dump_all

PYTORCH_JOB = yaml.safe_load("""
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata:
  name: bert-large
  namespace: team
  labels: {kueue.x-k8s.io/queue-name: gpus, app: bert}
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  nprocPerNode: "8"
  elasticPolicy: {minReplicas: 1, maxReplicas: 3, maxRestarts: 7, rdzvBackend: c10d}
  runPolicy:
    backoffLimit: 4
    activeDeadlineSeconds: 3600
    ttlSecondsAfterFinished: 600
    cleanPodPolicy: All
    schedulingPolicy: {minAvailable: 4, priorityClass: high}
  pytorchReplicaSpecs:
    Master: &replica
      replicas: 1
      restartPolicy: OnFailure
      template:
        metadata: {labels: {team: a, training.kubeflow.org/replica-type: master}}
        spec:
          nodeSelector: {pool: a100}
          tolerations: [{key: nvidia.com/gpu, operator: Exists}]
          serviceAccountName: trainer
          affinity: {nodeAffinity: {}}
          terminationGracePeriodSeconds: 60
          containers:
          - name: istio-proxy
            image: proxy:1
          - name: pytorch
            image: registry.example.com/train:3
            imagePullPolicy: Always
            command: [torchrun, --nproc_per_node=8, --nnodes, "2", -m, trainers.bert, --lr, "1e-5"]
            args: [--epochs, "3"]
            env: [{name: NCCL_DEBUG, value: INFO}]
            resources:
              requests: {cpu: 16, memory: 100Gi, nvidia.com/gpu: 8}
              limits: {cpu: 32, memory: 200Gi, nvidia.com/gpu: 8, rdma/hca: 1}
            volumeMounts:
            - {name: shm, mountPath: /dev/shm}
            - {name: data, mountPath: /data}
          volumes:
          - {name: shm, emptyDir: {medium: Memory, sizeLimit: 64Gi}}
          - {name: data, persistentVolumeClaim: {claimName: corpora}}
    Worker: {<<: *replica, replicas: 2}
""")
RUNTIME = yaml.safe_load("""
apiVersion: trainer.kubeflow.org/v1alpha1
kind: ClusterTrainingRuntime
metadata: {name: torch-distributed}
spec:
  mlPolicy: {numNodes: 4, torch: {numProcPerNode: auto}}
  template:
    spec:
      replicatedJobs:
      - name: dataset-initializer
        template: {spec: {template: {spec: {containers: [{name: x, image: y}]}}}}
      - name: node
        template:
          spec:
            template:
              spec:
                containers:
                - name: node
                  image: pytorch/pytorch:2.9
                  command: [python, usual.py]
                  env: [{name: A, value: "1"}, {name: B, value: "1"}]
""")
TRAIN_JOB = yaml.safe_load("""
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: llama, labels: {team: b}}
spec:
  runtimeRef: {name: torch-distributed, kind: ClusterTrainingRuntime, apiGroup: trainer.kubeflow.org}
  suspend: true
  initializer: {dataset: {storageUri: hf://tatsu-lab/alpaca}}
  trainer:
    image: registry.example.com/llama:1
    command: [torchrun, train.py]
    args: ["--lr=1e-4"]
    numNodes: 2
    numProcPerNode: 4
    resourcesPerNode: {limits: {nvidia.com/gpu: 4, memory: 64Gi}}
    env: [{name: B, value: "2"}]
  podTemplateOverrides:
  - targetJobs: [{name: node}]
    spec:
      serviceAccountName: llama
      containers: [{name: node, volumeMounts: [{name: out, mountPath: /out}]}]
      volumes: [{name: out, persistentVolumeClaim: {claimName: results}}]
  - targetJobs: [{name: dataset-initializer}]
    spec: {serviceAccountName: other}
""")


def test_a_pytorch_job_runs_as_it_did() -> None:
    found = imported([PYTORCH_JOB])
    assert found.mistakes == ()
    assert found.manifest["metadata"] == {
        "name": "bert-large",
        "namespace": "team",
        "labels": {"app": "bert"},
    }
    spec = dict(found.manifest["spec"])
    template = spec.pop("podTemplate")["spec"]
    assert spec == {
        "image": "registry.example.com/train:3",
        "entrypoint": {"command": ["python3", "-m", "trainers.bert", "--lr", "1e-5", "--epochs", "3"]},
        "nodes": 4,
        "gpusPerNode": 8,
        "resources": {
            "cpu": "16",
            "cpuLimit": "32",
            "memory": "200Gi",
            "sharedMemory": "64Gi",
            "rdma": {"resource": "rdma/hca", "count": 1},
        },
        "nodeSelector": {"pool": "a100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "serviceAccountName": "trainer",
        "labels": {"team": "a"},
        "recovery": {"maxRestarts": 7},
        "activeDeadlineSeconds": 3600,
        "ttlSecondsAfterFinished": 600,
        "keepPods": "never",
        "priorityClassName": "high",
        "queueName": "gpus",
        "output": {"uri": "pvc://corpora/bert-large"},
    }
    assert template == {
        "affinity": {"nodeAffinity": {}},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "corpora"}}],
        "containers": [
            {
                "name": "trainer",
                "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            },
            {"name": "istio-proxy", "image": "proxy:1"},
        ],
    }
    assert [note.partition(":")[0] for note in found.notes] == [
        "output.uri",
        "spec.elasticPolicy.minReplicas",
        "torchrun is started by the launcher, with options of its own",
        "the image needs python3, pydantic, structlog and the launcher",
    ]


def test_a_train_job_is_its_runtime_with_what_it_says_itself() -> None:
    before = deepcopy((TRAIN_JOB, RUNTIME))
    found = imported([RUNTIME, TRAIN_JOB], "pvc://results/mine")
    assert before == (TRAIN_JOB, RUNTIME), "what is read stays as it is"
    assert found.mistakes == ()
    spec = found.manifest["spec"]
    assert spec["entrypoint"] == {"command": ["python3", "-u", "train.py", "--lr=1e-4"]}
    assert (spec["nodes"], spec["gpusPerNode"], spec["resources"]) == (2, 4, {"memory": "64Gi"})
    assert (spec["suspend"], spec["serviceAccountName"]) == (True, "llama")
    assert spec["output"]["uri"] == "pvc://results/mine"
    trainer = spec["podTemplate"]["spec"]["containers"][0]
    assert trainer["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert trainer["volumeMounts"] == [{"name": "out", "mountPath": "/out"}]
    assert any("hf://tatsu-lab/alpaca is not fetched" in note for note in found.notes)
    assert any("is for dataset-initializer" in note for note in found.notes)


def test_a_gang_that_may_be_smaller_may_be_so_here() -> None:
    job = deepcopy(PYTORCH_JOB)
    del job["metadata"]["labels"]
    found = imported([job])
    assert (found.manifest["spec"]["minNodes"], found.manifest["spec"]["nodes"]) == (2, 4)
    assert found.mistakes == ()


def test_what_nobody_reads_is_told() -> None:
    job = json.loads(json.dumps(PYTORCH_JOB))  # nothing is shared between both kinds of replicas
    job["spec"]["newField"] = 1
    pod = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]
    pod["hostPID"] = True
    pod["containers"][1]["image"] = "other:1"
    pod["containers"][1]["lifecycle"] = {"preStop": {}}
    pod["containers"][1]["resources"]["limits"]["example.com/fpga"] = 1
    notes = imported([job]).notes
    place = "spec.pytorchReplicaSpecs.Master.template.spec"
    for path in (
        "spec.newField",
        f"{place}.hostPID",
        f"{place}.containers[1].lifecycle",
        f"{place}.containers[1].resources.limits.example.com/fpga",
    ):
        assert f"{path}: is not carried over" in notes
    assert any("Master and Worker differ" in note for note in notes)


@pytest.mark.parametrize(
    ("words", "program", "torchrun", "processes"),
    [
        (["torchrun", "train.py", "--x"], ["python3", "-u", "train.py", "--x"], True, None),
        (["/opt/bin/torchrun", "--standalone", "-m", "a.b"], ["python3", "-m", "a.b"], True, None),
        (["torchrun", "--nproc-per-node", "4", "--no-python", "./run"], ["./run"], True, 4),
        (
            ["python", "-u", "-m", "torch.distributed.run", "--nnodes=2", "t.py"],
            ["python3", "-u", "t.py"],
            True,
            None,
        ),
        (["python", "train.py"], ["python", "train.py"], False, None),
        (["bash", "-c", "torchrun train.py"], ["bash", "-c", "torchrun train.py"], False, None),
    ],
)
def test_torchrun_is_left_to_the_launcher(
    words: list[str], program: list[str], torchrun: bool, processes: int | None
) -> None:
    found = program_of(words)
    assert (list(found.words), found.torchrun, found.processes) == (program, torchrun, processes)


@pytest.mark.parametrize(
    ("command", "gpus", "starter"),
    [
        (["python", "train.py"], 0, None),
        (["python", "train.py"], 1, None),
        (["python", "train.py"], 8, "none"),
        (["sh", "-c", "torchrun train.py"], 1, "none"),
        (["torchrun", "train.py"], 8, None),
    ],
)
def test_as_many_processes_run_as_before(command: list[str], gpus: int, starter: str | None) -> None:
    job = deepcopy(PYTORCH_JOB)
    del job["spec"]["nprocPerNode"]
    for part in job["spec"]["pytorchReplicaSpecs"].values():
        container = part["template"]["spec"]["containers"][1]
        container |= {
            "command": command,
            "args": [],
            "resources": {"limits": {"nvidia.com/gpu": gpus} if gpus else {}},
        }
    spec = imported([job]).manifest["spec"]
    assert spec["entrypoint"].get("starter") == starter
    assert spec["gpusPerNode"] == gpus


def changed(**fields: Any) -> dict[str, Any]:
    job = deepcopy(PYTORCH_JOB)
    for part in job["spec"]["pytorchReplicaSpecs"].values():
        part["template"]["spec"]["containers"][1] |= fields
    return job


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([], "it has nothing"),
        ([{"kind": "RayJob"}], "it has RayJob"),
        ([PYTORCH_JOB, PYTORCH_JOB], "must have one"),
        ([changed(command=[], args=[])], "it has no command"),
        ([changed(resources={"limits": {"nvidia.com/gpu": "two"}})], "got 'two'"),
        ([{**PYTORCH_JOB, "spec": {"pytorchReplicaSpecs": {}}}], "neither Master nor Worker"),
        ([{**PYTORCH_JOB, "spec": []}], "spec: must be a mapping"),
        (
            [{**TRAIN_JOB, "spec": {"runtimeRef": {"name": "own"}, "trainer": {"command": ["a"]}}}],
            "what runtime own runs",
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence(documents: list[Any], words: str) -> None:
    with pytest.raises(Mistake, match=words):
        imported(documents)


def test_the_command_prints_a_manifest_and_tells_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(dump_all([PYTORCH_JOB]))
    assert main(["import", str(file)]) == 0
    told = capsys.readouterr()
    assert yaml.safe_load(told.out) == imported([PYTORCH_JOB]).manifest
    assert "--- output.uri: logs, and what the program writes" in told.err
    file.write_text(dump_all([changed(env=[{"name": "HOME", "value": "/root"}])]))
    assert main(["import", str(file)]) == 2
    told = capsys.readouterr()
    assert "error: spec.podTemplate" in told.err
    assert yaml.safe_load(told.out)["kind"] == "LLMTrainingJob", "to be changed by hand"
    assert main(["import", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
