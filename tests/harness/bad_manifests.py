"""Manifests that must be refused, each with the field that the message names and a piece of the fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.jobs import manifest


@dataclass(frozen=True)
class Bad:
    """``fix`` is in our own message; the API server's own words, where it speaks, are its own."""

    manifest: dict[str, Any]
    field: str
    fix: str
    server_fix: str = ""

    @property
    def said_by_server(self) -> str:
        return self.server_fix or self.fix


def mixed(*sources: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A manifest whose dataset is a mixture; `spec` as `manifest` takes it."""
    return manifest(dataset={"mixture": list(sources)}, **spec)


def own_program(**spec: Any) -> dict[str, Any]:
    """A manifest with a program of one's own; `spec` as `manifest` takes it."""
    own = {
        "entrypoint": {"command": ["python3", "train.py"]},
        "model": None,
        "dataset": None,
        "training": None,
    }
    return manifest(**(own | spec))


def cleaned(**cleaning: Any) -> dict[str, Any]:
    """A manifest whose dataset is cleaned."""
    return manifest(dataset={"name": "pvc://texts/a", "cleaning": cleaning})


LLAMA: dict[str, Any] = {"name": "builtin://tiny-llama"}
BERT: dict[str, Any] = {"name": "builtin://tiny-bert"}
T5: dict[str, Any] = {"name": "builtin://tiny-t5"}


def sampled(task: str, **spec: Any) -> dict[str, Any]:
    """A job that is right on samples, with top-level fields of spec replaced."""
    return manifest(**{"task": task, "dataset": {"name": "pvc://data/samples"}} | spec)


def reinforced(*rewards: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A job that learns from rewards, by default right; fields of ``training`` and ``how`` (of its
    reinforcement) are joined with what is right, others of spec replaced."""
    how = {"rewards": list(rewards or [{"kind": "json"}])} | spec.pop("how", {})
    training = {"reinforcement": how} | spec.pop("training", {})
    right: dict[str, Any] = {"task": "reinforcement", "dataset": {"name": "pvc://data/prompts"}}
    return manifest(**(right | {"training": training} | spec))


STDLIB = {"name": "builtin://python-stdlib", "weight": 1}
BOOKS = {"name": "pvc://texts/books", "weight": 2.5, "maxBytes": 50_000}
NOISE = {"name": "builtin://random-tokens", "weight": 1}
PENALTY = {"pairs": "pvc://data/pairs.jsonl"}
MLFLOW = {"uri": "https://mlflow.example.com", "model": "helpdesk"}


def measured(**spec: Any) -> dict[str, Any]:
    """A job that only measures a model, with top-level fields of spec replaced."""
    right: dict[str, Any] = {"model": {"name": "Qwen/Qwen2.5-0.5B"}, "processesPerNode": 1, "nodes": 1}
    return manifest(**(right | {"evaluation": {"only": True}} | spec))


def sets(*each: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A job with sets that it is measured on apart, with top-level fields of spec replaced."""
    return manifest(**(spec | {"evaluation": {"datasets": list(each)}}))


def asked_tasks(
    folder: str = "pvc://tasks/ours", names: list[str] | None = None, **spec: Any
) -> dict[str, Any]:
    """A job that asks its model tasks, with top-level fields of spec replaced."""
    tasks = {"folder": folder, "names": ["weather"] if names is None else names}
    return manifest(**(spec | {"evaluation": {"tasks": tasks}}))


BAD: dict[str, Bad] = {
    "random weights are measured": Bad(
        measured(model=LLAMA), "spec.model.name", "name one that exists", "name one that exists"
    ),
    "new weights of a model are measured": Bad(
        measured(model={"name": "Qwen/Qwen2.5-0.5B", "weights": "random"}),
        "spec.model.name",
        "with weights random has random weights",
        "has random weights",
    ),
    "new adapters are measured": Bad(
        measured(model={"name": "Qwen/Qwen2.5-0.5B", "adapter": {"rank": 4}}),
        "spec.model.adapter",
        "remove model.adapter",
    ),
    "a task with a head is measured": Bad(
        measured(task="classification", dataset={"name": "pvc://data/samples"}),
        "spec.task",
        "whose tasks are causal",
    ),
    "two processes measure": Bad(
        measured(processesPerNode=2),
        "spec.nodes",
        "got 2 processes",
        "evaluation.only is computed by one process",
    ),
    "two GPUs measure": Bad(
        measured(gpusPerNode=2), "spec.nodes", "got 2 processes", "evaluation.only is computed by one process"
    ),
    "a step is measured": Bad(
        measured(checkpoint={"from": {"job": "base"}}), "spec.checkpoint.from", "name the exported folder"
    ),
    "two sets of one name": Bad(
        sets({"name": "news", "source": "pvc://data/a"}, {"name": "news", "source": "pvc://data/b"}),
        "spec.evaluation.datasets",
        "[0] and [1] are both named news; give each a name of its own",
        "give each a name of its own",
    ),
    "a set without a name": Bad(
        sets({"source": "pvc://data/a"}), "spec.evaluation.datasets[0].name", "required", "equired"
    ),
    "a set whose name is a path": Bad(
        sets({"name": "../a", "source": "pvc://data/a"}),
        "spec.evaluation.datasets[0].name",
        "must match",
        "should match",
    ),
    "a set that lies nowhere": Bad(
        sets({"name": "news", "source": "data/../a"}), "spec.evaluation.datasets[0].source", "hub, OWNER/NAME"
    ),
    "a set of noise": Bad(
        sets({"name": "noise", "source": "builtin://random-tokens"}),
        "spec.evaluation.datasets[0].source",
        "use builtin://python-stdlib, pvc://CLAIM/FOLDER",
    ),
    "a revision of a set on a claim": Bad(
        sets({"name": "news", "source": "pvc://data/a", "revision": "main"}),
        "spec.evaluation.datasets[0].revision",
        "only a dataset of the hub (OWNER/NAME) has revisions",
    ),
    "more sets than may be": Bad(
        sets(*({"name": f"n{at}", "source": "pvc://data/a"} for at in range(17))),
        "spec.evaluation.datasets",
        "use at most 16",
        "must have at most 16 items",
    ),
    "sets of a task on pairs": Bad(
        sets({"name": "news", "source": "pvc://data/a"}, task="preference", dataset={"name": "pvc://data/b"}),
        "spec.evaluation.datasets",
        "remove evaluation.datasets",
    ),
    "sets beside noise": Bad(
        sets({"name": "news", "source": "pvc://data/a"}, dataset={"name": "builtin://random-tokens"}),
        "spec.evaluation.datasets",
        "teaches no tokenizer that a set could be read with",
    ),
    "a built-in set of dialogues": Bad(
        sets(
            {"name": "code", "source": "builtin://python-stdlib"},
            task="chat",
            dataset={"name": "pvc://talks/a"},
        ),
        "spec.evaluation.datasets",
        "[0].source: builtin://python-stdlib has no rows, which task chat needs",
        "built-in data has no rows",
    ),
    "a column of a set for another task": Bad(
        sets({"name": "news", "source": "pvc://data/a", "fields": {"label": "kind"}}),
        "spec.evaluation.datasets",
        "[0].fields.label is for task classification or regression; set task, or remove it",
        "names a column that this task does not read",
    ),
    "a column of text in a set of dialogues": Bad(
        sets(
            {"name": "talks", "source": "pvc://data/a", "fields": {"text": "body"}},
            task="chat",
            dataset={"name": "pvc://talks/a"},
        ),
        "spec.evaluation.datasets",
        "[0].fields.text is for other tasks than chat",
        "names a column that this task does not read",
    ),
    "tasks in a bucket": Bad(
        asked_tasks(folder="s3://bucket/tasks"), "spec.evaluation.tasks.folder", "use pvc://CLAIM/FOLDER"
    ),
    "tasks without names": Bad(
        asked_tasks(names=[]), "spec.evaluation.tasks.names", "use at least 1", "at least 1 items"
    ),
    "a task whose name is a path": Bad(
        asked_tasks(names=["../a"]), "spec.evaluation.tasks.names[0]", "must match", "should match"
    ),
    "tasks of a model with a head": Bad(
        asked_tasks(task="classification", dataset={"name": "pvc://data/samples"}),
        "spec.evaluation.tasks",
        "this job's task is classification; remove it",
        "tasks are asked of a model that writes text",
    ),
    "tasks of an adapter alone": Bad(
        asked_tasks(
            model={"name": "Qwen/Qwen2.5-0.5B", "adapter": {"rank": 4}},
            output={"uri": "pvc://checkpoints/x", "merged": False},
        ),
        "spec.evaluation.tasks",
        "set output.merged true, or remove it",
    ),
    "a page beside no export": Bad(
        measured(evaluation={"only": True, "explain": {"texts": 4}}),
        "spec.evaluation.explain",
        "use llmtrain attribute",
    ),
    "a push of what has no export": Bad(
        measured(output={"uri": "pvc://a/b", "publish": {"hub": "acme/helpdesk"}}),
        "spec.output.publish",
        "remove output.publish",
    ),
    "a push to a URL": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"hub": "https://huggingface.co/acme/helpdesk"}}),
        "spec.output.publish.hub",
        "use OWNER/NAME",
    ),
    "a push to no branch": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"hub": "acme/helpdesk", "revision": "refs/pr/1"}}),
        "spec.output.publish.revision",
        "use the name of a branch",
    ),
    "a push to nowhere": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"secret": "writer"}}),
        "spec.output.publish",
        "name one place to push to",
    ),
    "a push to a hub and a registry": Bad(
        manifest(
            output={"uri": "pvc://a/b", "publish": {"hub": "acme/helpdesk", "oci": "registry.example.com/a"}}
        ),
        "spec.output.publish",
        "name one place to push to",
    ),
    "a push to a registry with a tag": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"oci": "registry.example.com/team/model:v1"}}),
        "spec.output.publish.oci",
        "what comes after a ':' is output.publish.tag",
    ),
    "a push to no registry": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"oci": "team/model"}}),
        "spec.output.publish.oci",
        "use HOST/REPOSITORY in lowercase",
    ),
    "a push to no tag": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"oci": "localhost:5000/model", "tag": "a/b"}}),
        "spec.output.publish.tag",
        "use letters, digits",
    ),
    "a tag of a hub": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"hub": "acme/helpdesk", "tag": "v1"}}),
        "spec.output.publish.tag",
        "use revision for a hub",
    ),
    "a branch of a registry": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"oci": "localhost:5000/model", "revision": "v1"}}),
        "spec.output.publish.revision",
        "use tag for a registry",
    ),
    "a push to three places": Bad(
        manifest(
            output={
                "uri": "pvc://a/b",
                "publish": {"mlflow": MLFLOW, "hub": "acme/a", "oci": "registry.example.com/a"},
            }
        ),
        "spec.output.publish",
        "name one place to push to",
    ),
    "a push to MLflow with a user in its address": Bad(
        manifest(
            output={
                "uri": "pvc://a/b",
                "publish": {"mlflow": MLFLOW | {"uri": "https://user:word@mlflow.example.com"}},
            }
        ),
        "spec.output.publish.mlflow.uri",
        "without a user or a query",
    ),
    "a push to no model of MLflow": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"mlflow": MLFLOW | {"model": "team/a"}}}),
        "spec.output.publish.mlflow.model",
        "such as helpdesk",
    ),
    "a tag of MLflow": Bad(
        manifest(output={"uri": "pvc://a/b", "publish": {"mlflow": MLFLOW, "tag": "v1"}}),
        "spec.output.publish.tag",
        "only a registry of images has tags",
    ),
    "a push for a program": Bad(
        own_program(output={"uri": "pvc://a/b", "publish": {"hub": "acme/helpdesk"}}),
        "spec.output.publish",
        "pass it in entrypoint.args",
    ),
    "a tracker of what has no curve": Bad(
        measured(telemetry={"trackers": [{"kind": "mlflow", "project": "a", "offline": True}]}),
        "spec.telemetry.trackers",
        "remove telemetry.trackers",
    ),
    "a step of neither a job nor an output": Bad(
        manifest(checkpoint={"from": {"step": 5}}), "spec.checkpoint.from", "exactly one of both"
    ),
    "a step of a job and of an output": Bad(
        manifest(checkpoint={"from": {"job": "base", "output": "pvc://checkpoints/base"}}),
        "spec.checkpoint.from",
        "exactly one of both",
    ),
    "a step of an output that is no folder": Bad(
        manifest(checkpoint={"from": {"output": "checkpoints/base"}}),
        "spec.checkpoint.from.output",
        "use pvc://CLAIM/FOLDER",
    ),
    "a step of an object store": Bad(
        manifest(checkpoint={"from": {"output": "s3://bucket/base"}}),
        "spec.checkpoint.from.output",
        "copied from folder to folder",
    ),
    "a step for an object store": Bad(
        manifest(checkpoint={"from": {"job": "base"}}, output={"uri": "s3://bucket/run"}),
        "spec.checkpoint.from",
        "copied from folder to folder",
    ),
    "a step of the output itself": Bad(
        manifest(checkpoint={"from": {"output": "pvc://checkpoints/tiny/"}}),
        "spec.checkpoint.from.output",
        "output.ifExists: resume to go on in it",
    ),
    "an output within that of the step": Bad(
        manifest(checkpoint={"from": {"output": "pvc://checkpoints"}}),
        "spec.checkpoint.from.output",
        "output.ifExists: resume to go on in it",
    ),
    "a step at the end": Bad(
        manifest(checkpoint={"from": {"job": "base", "step": 20}}),
        "spec.checkpoint.from.step",
        "raise maxSteps, or name an earlier step",
    ),
    "a step of nothing": Bad(
        manifest(checkpoint={"from": {"job": "base", "step": 0}}),
        "spec.checkpoint.from.step",
        "use at least 1",
        "greater than or equal to 1",
    ),
    "a step of a job that can have no such name": Bad(
        manifest(checkpoint={"from": {"job": "Base"}}),
        "spec.checkpoint.from.job",
        "got 'Base'",
        "use lowercase letters",
    ),
    "a cache in the output": Bad(
        manifest(dataset={"name": "pvc://texts/a", "cache": "pvc://checkpoints/tiny/cache"}),
        "spec.dataset.cache",
        "name a folder beside it",
    ),
    "a cache that is the output": Bad(
        manifest(dataset={"name": "pvc://texts/a", "cache": "pvc://checkpoints/tiny/"}),
        "spec.dataset.cache",
        "name a folder beside it",
    ),
    "a cache among the texts": Bad(
        manifest(dataset={"name": "pvc://texts/a/", "cache": "pvc://texts/a/tokens"}),
        "spec.dataset.cache",
        "name a folder beside it",
    ),
    "a cache among the texts of a mixture": Bad(
        manifest(dataset={"mixture": [STDLIB, BOOKS], "cache": "pvc://texts/books"}),
        "spec.dataset.cache",
        "name a folder beside it",
    ),
    "a runtime that is no name": Bad(manifest(runtime="My Runtime"), "spec.runtime", "use lowercase letters"),
    "a topology without a label": Bad(
        manifest(topology={"required": True}), "spec.topology.label", "is required", "Required value"
    ),
    "a topology by what is no label": Bad(
        manifest(topology={"label": "my rack"}), "spec.topology.label", "a key must be NAME or PREFIX/NAME"
    ),
    "fewest nodes above nodes": Bad(
        manifest(nodes=2, minNodes=3), "spec.minNodes", "at most", "minNodes must be at most nodes"
    ),
    "fewest nodes far below nodes": Bad(
        manifest(nodes=40, minNodes=2, training={"globalBatchSize": 64}),
        "spec.minNodes",
        "use at least 9",
        "less than 32 above minNodes",
    ),
    "no nodes at least": Bad(
        manifest(minNodes=0), "spec.minNodes", "use at least 1", "greater than or equal to 1"
    ),
    "fewest nodes that are no whole copies of the model": Bad(
        manifest(nodes=4, minNodes=2, parallelism={"tensor": 2}, model=LLAMA),
        "spec.minNodes",
        "does not divide the 1 processes of a node",
        "must divide the processes of a node",
    ),
    "unknown field": Bad(manifest(gpuCount=8), "spec.gpuCount", "remove it", "unknown field"),
    "misspelt nested field": Bad(
        manifest(training={"maxSteps": 5, "lr": 1.0}), "spec.training.lr", "remove it", "unknown field"
    ),
    "a hold that nobody could use": Bad(
        manifest(recovery={"holdSeconds": 9}),
        "spec.recovery.holdSeconds",
        "use at least 10",
        "greater than or equal to 10",
    ),
    "a hold of days": Bad(
        manifest(recovery={"holdSeconds": 86_401}),
        "spec.recovery.holdSeconds",
        "use at most 86400",
        "less than or equal to 86400",
    ),
    "failure rule that matches nothing": Bad(
        manifest(recovery={"rules": [{"action": "Fail"}]}),
        "spec.recovery.rules[0]",
        "name at least one of classes",
    ),
    "failure rule without an action": Bad(
        manifest(recovery={"rules": [{"log": "boom"}]}),
        "spec.recovery.rules[0].action",
        "is required",
        "Required value",
    ),
    "failure rule with an unknown action": Bad(
        manifest(recovery={"rules": [{"action": "Ignore", "log": "boom"}]}),
        "spec.recovery.rules[0].action",
        "Restart",
        "Unsupported value",
    ),
    "failure rule with an unknown class": Bad(
        manifest(recovery={"rules": [{"action": "Fail", "classes": ["Oom"]}]}),
        "spec.recovery.rules[0].classes[0]",
        "OutOfMemory",
        "Unsupported value",
    ),
    "failure rule with an exit code that none has": Bad(
        manifest(recovery={"rules": [{"action": "Fail", "exitCodes": [300]}]}),
        "spec.recovery.rules[0].exitCodes[0]",
        "use at most 255",
        "less than or equal to 255",
    ),
    "zero nodes": Bad(manifest(nodes=0), "spec.nodes", "use at least 1", "greater than or equal to 1"),
    "data prepared by two pods": Bad(
        manifest(prepare={"nodes": 2}), "spec.prepare.nodes", "use at most 1", "less than or equal to 1"
    ),
    "memory to prepare with that is no quantity": Bad(
        manifest(prepare={"resources": {"memory": "lots"}}),
        "spec.prepare.resources.memory",
        "such as 512Mi or 4Gi",
        "should match",
    ),
    "GPUs of a name without a prefix": Bad(
        manifest(resources={"gpuResource": "gpu"}),
        "spec.resources.gpuResource",
        "such as nvidia.com/gpu",
    ),
    "GPUs that are Kubernetes' own": Bad(
        manifest(resources={"gpuResource": "node.kubernetes.io/gpu"}),
        "spec.resources.gpuResource",
        "such as nvidia.com/gpu",
    ),
    "no device of the fabric": Bad(
        manifest(resources={"rdma": {"resource": "rdma/hca", "count": 0}}),
        "spec.resources.rdma.count",
        "use at least 1",
        "greater than or equal to 1",
    ),
    "a fabric without a name": Bad(
        manifest(resources={"rdma": {"count": 1}}),
        "spec.resources.rdma.resource",
        "is required",
        "Required value",
    ),
    "a fabric of GPUs": Bad(
        manifest(resources={"rdma": {"resource": "nvidia.com/gpu"}}),
        "spec.resources.rdma.resource",
        "name the resource of the network's devices",
    ),
    "shared memory that is no quantity": Bad(
        manifest(resources={"sharedMemory": "half"}),
        "spec.resources.sharedMemory",
        "such as 512Mi or 4Gi",
        "should match",
    ),
    "network of the host that is no yes or no": Bad(
        manifest(hostNetwork="yes"), "spec.hostNetwork", "true or false", "must be of type boolean"
    ),
    "unknown precision": Bad(
        manifest(training={"precision": "bfloat16"}), "spec.training.precision", "'bf16'", '"bf16"'
    ),
    "precision that is not offered": Bad(
        manifest(training={"precision": "fp8"}),
        "spec.training.precision",
        "'bf16' or 'fp16'; fp8 is not offered, as no GPU has computed yet what it costs in accuracy",
        '"bf16"',
    ),
    "unknown ZeRO stage": Bad(
        manifest(training={"zeroStage": 4}),
        "spec.training.zeroStage",
        "use at most 3",
        "less than or equal to 3",
    ),
    "world size that does not divide": Bad(
        manifest(parallelism={"tensor": 4}), "spec.parallelism", "world size", "must divide the world size"
    ),
    "heads that do not divide": Bad(
        manifest(nodes=4, parallelism={"tensor": 4}, model={"name": "builtin://tiny-llama", "numKvHeads": 2}),
        "spec.parallelism",
        "numKvHeads",
    ),
    "a family that cannot be cut": Bad(
        manifest(parallelism={"pipeline": 2}, model={"name": "builtin://tiny-gpt2"}),
        "spec.parallelism",
        "Llama and Qwen",
        "Llama or Qwen",
    ),
    "two ways at once": Bad(
        manifest(nodes=4, parallelism={"tensor": 2, "pipeline": 2}),
        "spec.parallelism",
        "AutoTP does not cut a pipeline's stages",
        "use one of tensor",
    ),
    "pipeline with ZeRO 2": Bad(
        manifest(parallelism={"pipeline": 2}, training={"zeroStage": 2}),
        "spec.training.zeroStage",
        "use 1",
        "use zeroStage 1",
    ),
    "packed documents in parts": Bad(
        manifest(parallelism={"sequence": 2}, training={"packing": "documents"}),
        "spec.training.packing",
        "use concat",
    ),
    "packed documents for BERT": Bad(
        manifest(model={"name": "builtin://tiny-bert"}, training={"packing": "documents"}),
        "spec.training.packing",
        "use concat",
    ),
    "tied embeddings of GPT-2": Bad(
        manifest(model={"name": "builtin://tiny-gpt2", "tiedEmbeddings": True}),
        "spec.model.tiedEmbeddings",
        "remove it",
    ),
    "fp16 on CPU": Bad(
        manifest(training={"precision": "fp16"}), "spec.training.precision", "use bf16 or fp32"
    ),
    "fp16 in stages": Bad(
        manifest(gpusPerNode=2, training={"precision": "fp16"}, parallelism={"pipeline": 2}),
        "spec.training.precision",
        "use bf16",
    ),
    "selective without checkpointing": Bad(
        manifest(training={"activationCheckpointing": False, "activationCheckpointingMode": "selective"}),
        "spec.training.activationCheckpointingMode",
        "remove one of them",
    ),
    "selective in tensor parallelism": Bad(
        manifest(
            processesPerNode=2,
            parallelism={"tensor": 2},
            training={"activationCheckpointingMode": "selective"},
        ),
        "spec.training.activationCheckpointingMode",
        "use full, or tensor 1",
    ),
    "chunked logits in a pipeline": Bad(
        manifest(processesPerNode=2, parallelism={"pipeline": 2}, training={"chunkedLogits": True}),
        "spec.training.chunkedLogits",
        "set chunkedLogits to false",
        "set it to false",
    ),
    "chunked logits in fp16": Bad(
        manifest(gpusPerNode=1, training={"chunkedLogits": True, "precision": "fp16"}),
        "spec.training.chunkedLogits",
        "set chunkedLogits to false",
        "set it to false",
    ),
    "an unknown way to compute again": Bad(
        manifest(training={"activationCheckpointingMode": "most"}),
        "spec.training.activationCheckpointingMode",
        "'selective' or 'full'",
        "supported values",
    ),
    "compiled T5": Bad(
        manifest(model={"name": "builtin://tiny-t5"}, training={"compile": True}),
        "spec.training.compile",
        "set compile to false",
    ),
    "compiled pieces": Bad(
        manifest(training={"compile": True, "zeroStage": 3}),
        "spec.training.compile",
        "DeepSpeed's hooks",
        "zeroStage",
    ),
    "decaySteps without wsd": Bad(
        manifest(training={"decaySteps": 10}), "spec.training.decaySteps", "use wsd"
    ),
    "one beta": Bad(manifest(training={"betas": [0.9]}), "spec.training.betas", "2", "2"),
    "a beta of 1": Bad(
        manifest(training={"betas": [0.9, 1]}), "spec.training.betas", "less than 1", "less than 1"
    ),
    "early stopping without evaluations": Bad(
        manifest(training={"earlyStopping": {"patience": 2}}, evaluation={"everySteps": 0}),
        "spec.training.earlyStopping",
        "set evaluation.everySteps",
    ),
    "the best checkpoint without evaluations": Bad(
        manifest(checkpoint={"keepBest": True}, evaluation={"everySteps": 0}),
        "spec.checkpoint.keepBest",
        "set evaluation.everySteps",
    ),
    "no dataset": Bad(manifest(dataset=None), "spec.dataset", "is required, unless entrypoint"),
    "no model": Bad(manifest(model=None), "spec.model", "is required, unless entrypoint"),
    "a program of one's own and a model": Bad(
        own_program(model=LLAMA), "spec.model", "the program of entrypoint decides that itself"
    ),
    "a program of one's own and a dataset": Bad(
        own_program(dataset={"name": "builtin://python-stdlib"}),
        "spec.dataset",
        "the program of entrypoint decides that itself",
    ),
    "a program of one's own and a task": Bad(
        own_program(task="causal"), "spec.task", "the program of entrypoint decides that itself"
    ),
    "a program of one's own that is cut into parts": Bad(
        own_program(parallelism={"tensor": 2}), "spec.parallelism", "the program of entrypoint decides that"
    ),
    "a program of one's own without merged weights": Bad(
        own_program(output={"uri": "pvc://checkpoints/tiny", "merged": False}),
        "spec.output.merged",
        "the program of entrypoint decides that itself",
    ),
    "a program of one's own with an output in a bucket": Bad(
        own_program(output={"uri": "s3://bucket/tiny"}), "spec.output.uri", "use pvc://CLAIM/FOLDER"
    ),
    "a program of one's own without a command": Bad(
        own_program(entrypoint={"command": []}),
        "spec.entrypoint.command",
        "use at least 1",
        "should have at least 1",
    ),
    "a program of one's own that nobody starts": Bad(
        own_program(entrypoint={"command": ["./train"], "starter": "mpirun"}),
        "spec.entrypoint.starter",
        "'torchrun'",
        "Unsupported value",
    ),
    "a dataset of nothing": Bad(
        manifest(dataset={}), "spec.dataset.name", "or mixture for several sources", "set name, or mixture"
    ),
    "a dataset and a mixture": Bad(
        manifest(dataset={"name": "builtin://python-stdlib", "mixture": [BOOKS]}),
        "spec.dataset.name",
        "both name and mixture are set; keep one of them",
        "not both",
    ),
    "an empty mixture": Bad(mixed(), "spec.dataset.mixture", "at least 1", "at least 1"),
    "too many sources": Bad(
        mixed(*({"name": f"pvc://texts/{n}", "weight": 1} for n in range(65))),
        "spec.dataset.mixture",
        "at most 64",
        "at most 64",
    ),
    "a source without a weight": Bad(
        mixed({"name": "pvc://texts/books"}),
        "spec.dataset.mixture[0].weight",
        "is required",
        "Required value",
    ),
    "a weight of 0": Bad(
        mixed(STDLIB, {"name": "pvc://texts/books", "weight": 0}),
        "spec.dataset.mixture[1].weight",
        "use more than 0",
        "greater than 0",
    ),
    "a source without a scheme": Bad(
        mixed(STDLIB, {"name": "/texts", "weight": 1}),
        "spec.dataset.mixture[1].name",
        "pvc://CLAIM/FOLDER, file:///FOLDER",
    ),
    "a misspelt field of a source": Bad(
        mixed(STDLIB | {"wieght": 2}), "spec.dataset.mixture[0].wieght", "remove it", "unknown field"
    ),
    "noise in a mixture": Bad(mixed(STDLIB, NOISE), "spec.dataset.mixture", "cannot be mixed"),
    "answers without a task that has some": Bad(
        manifest(evaluation={"answerMetrics": ["bleu"]}),
        "spec.evaluation.answerMetrics",
        "set task: chat",
    ),
    "answers of a task that tells classes": Bad(
        sampled("classification", evaluation={"answerMetrics": ["bleu"]}),
        "spec.evaluation.answerMetrics",
        "chat and text2text",
    ),
    "samples of built-in data": Bad(
        manifest(task="classification"), "spec.dataset", "has no samples", "built-in data has no samples"
    ),
    "a class of another task": Bad(
        manifest(dataset={"name": "pvc://a/b", "fields": {"label": "kind"}}),
        "spec.dataset",
        "fields.label is for task classification or regression",
        "textPair and label are for classification and regression",
    ),
    "a target of another task": Bad(
        sampled("regression", dataset={"name": "pvc://a/b", "fields": {"target": "kind"}}),
        "spec.dataset",
        "fields.target is for task text2text",
        "source and target for text2text",
    ),
    "a source of a mixture with a column of another task": Bad(
        manifest(dataset={"mixture": [{"name": "pvc://a/b", "weight": 1, "fields": {"textPair": "b"}}]}),
        "spec.dataset",
        "fields.textPair is for task",
        "textPair and label",
    ),
    "a column of text for pairs": Bad(
        sampled("text2text", model=T5, dataset={"name": "pvc://a/b", "fields": {"text": "body"}}),
        "spec.dataset",
        "fields.text is for other tasks than text2text",
        "remove it",
    ),
    "classes by a model that writes": Bad(
        sampled("classification", model=T5), "spec.task", "learns task seq2seq", "remove task"
    ),
    "pairs for a model that does not write": Bad(
        sampled("text2text", model=BERT), "spec.task", "learns task masked", "remove task"
    ),
    "packed samples": Bad(
        sampled("classification", training={"packing": "documents"}),
        "spec.training.packing",
        "has a sample a row",
        "use concat",
    ),
    "samples cut by tensor parallelism": Bad(
        sampled("classification", nodes=1, processesPerNode=2, parallelism={"tensor": 2}),
        "spec.parallelism",
        "use tensor 1",
        "data parallelism with ZeRO only",
    ),
    "compiled layers with samples": Bad(
        sampled("regression", training={"compile": True}),
        "spec.training.compile",
        "compiled for each",
    ),
    "a new head beside an adapter": Bad(
        sampled("classification", model={"name": "builtin://tiny-llama", "adapter": {"rank": 4}}),
        "spec.model.adapter",
        "remove model.adapter",
    ),
    "cleaned words with tags": Bad(
        sampled(
            "tokenClassification", model=BERT, dataset={"name": "pvc://a/b", "cleaning": {"whitespace": True}}
        ),
        "spec.dataset.cleaning",
        "part words from their tags",
    ),
    "tags of another task": Bad(
        sampled("classification", dataset={"name": "pvc://a/b", "fields": {"tags": "ner"}}),
        "spec.dataset",
        "fields.tags is for task tokenClassification",
        "tokens and tags for tokenClassification",
    ),
    "a tracker of nobody": Bad(
        manifest(telemetry={"trackers": [{"kind": "comet"}]}),
        "spec.telemetry.trackers[0].kind",
        "wandb",
        "Unsupported value",
    ),
    "mlflow without a server": Bad(
        manifest(telemetry={"trackers": [{"kind": "mlflow"}]}),
        "spec.telemetry.trackers[0]",
        "or set offline: true",
    ),
    "a tracker for a program": Bad(
        own_program(telemetry={"trackers": [{"kind": "wandb"}]}),
        "spec.telemetry",
        "pass it in entrypoint.args",
    ),
    "a receiver without a URL": Bad(
        manifest(notify=[{"events": ["Failed"]}]), "spec.notify[0]", "either url or urlSecret"
    ),
    "a receiver with two URLs": Bad(
        manifest(notify=[{"url": "https://a.test/", "urlSecret": {"name": "hook"}}]),
        "spec.notify[0]",
        "either url or urlSecret",
    ),
    "a receiver behind a password": Bad(
        manifest(notify=[{"url": "https://user:pass@a.test/"}]),
        "spec.notify[0].url",
        "without a name or a password",
    ),
    "a receiver that is no web server": Bad(
        manifest(notify=[{"url": "ftp://a.test/"}]), "spec.notify[0].url", "use https://HOST/PATH"
    ),
    "a receiver of an event that is none": Bad(
        manifest(notify=[{"events": ["Done"], "url": "https://a.test/"}]),
        "spec.notify[0].events[0]",
        "Succeeded",
        "Unsupported value",
    ),
    "more receivers than may be": Bad(
        manifest(notify=[{"url": f"https://a.test/{n}"} for n in range(4)]),
        "spec.notify",
        "at most 3",
        "must have at most 3 items",
    ),
    "tags by a decoder": Bad(
        sampled("tokenClassification"), "spec.task", "learns task causal", "remove task"
    ),
    "cleaned texts with answers": Bad(
        sampled(
            "questionAnswering", model=BERT, dataset={"name": "pvc://a/b", "cleaning": {"whitespace": True}}
        ),
        "spec.dataset.cleaning",
        "answers from their places; remove it",
    ),
    "a context of another task": Bad(
        sampled("text2text", model=T5, dataset={"name": "pvc://a/b", "fields": {"context": "passage"}}),
        "spec.dataset",
        "fields.context is for task questionAnswering",
        "context and answers for questionAnswering",
    ),
    "questions to a decoder": Bad(
        sampled("questionAnswering"), "spec.task", "learns task causal", "remove task"
    ),
    "questions beside adapters": Bad(
        sampled("questionAnswering", model=BERT | {"adapter": {"rank": 4}}),
        "spec.model.adapter",
        "remove model.adapter",
    ),
    "a metric that is none": Bad(
        manifest(task="chat", dataset={"name": "pvc://talks/all"}, evaluation={"answerMetrics": ["meteor"]}),
        "spec.evaluation.answerMetrics[0]",
        "'meteor'",
        "Unsupported value",
    ),
    "pairs of sentences on a hub": Bad(
        manifest(evaluation={"fairness": {"pairs": "OWNER/NAME"}}),
        "spec.evaluation.fairness.pairs",
        "use pvc://CLAIM/FILE or file:///FILE",
        "use pvc://CLAIM/FILE or file:///FILE",
    ),
    "likelihoods of a task that tells classes": Bad(
        sampled("classification", evaluation={"fairness": {"pairs": "pvc://data/pairs.jsonl"}}),
        "spec.evaluation.fairness",
        "task classification does not learn",
        "which this task does not learn",
    ),
    "pairs to hold alike on a hub": Bad(
        manifest(training={"fairness": {"pairs": "OWNER/NAME"}}),
        "spec.training.fairness.pairs",
        "use pvc://CLAIM/FILE or file:///FILE",
        "use pvc://CLAIM/FILE or file:///FILE",
    ),
    "a penalty without weight": Bad(
        manifest(training={"fairness": PENALTY | {"weight": 0}}),
        "spec.training.fairness.weight",
        "use more than 0",
        "should be greater than 0",
    ),
    "a penalty of no pairs": Bad(
        manifest(training={"fairness": PENALTY | {"pairsPerStep": 0}}),
        "spec.training.fairness.pairsPerStep",
        "use at least 1",
        "should be greater than or equal to 1",
    ),
    "a penalty for dialogues": Bad(
        manifest(task="chat", dataset={"name": "pvc://talks/all"}, training={"fairness": PENALTY}),
        "spec.training.fairness",
        "this job's is chat: it is proven for task causal alone; remove it",
        "fairness is for task causal",
    ),
    "a penalty for a masked model": Bad(
        manifest(model=BERT, training={"fairness": PENALTY}),
        "spec.training.fairness",
        "one pass for each of its tokens; remove it",
        "fairness is for task causal",
    ),
    "a penalty for classes": Bad(
        sampled("classification", training={"fairness": PENALTY}),
        "spec.training.fairness",
        "it learns no likelihood of text; remove it",
        "fairness is for task causal",
    ),
    "a penalty in stages": Bad(
        manifest(nodes=2, parallelism={"pipeline": 2}, training={"fairness": PENALTY}),
        "spec.parallelism",
        "data parallelism with ZeRO only; remove parallelism",
        "data parallelism with ZeRO only; remove parallelism",
    ),
    "a penalty in compiled layers": Bad(
        manifest(training={"fairness": PENALTY, "compile": True}),
        "spec.training.compile",
        "each is compiled anew; use false",
        "each is compiled anew; use false",
    ),
    "a penalty where nothing is trained": Bad(
        measured(training={"fairness": PENALTY}),
        "spec.training.fairness",
        "evaluation.only trains nothing; use evaluation.fairness",
        "evaluation.only trains nothing; use evaluation.fairness",
    ),
    "an explanation of no text": Bad(
        manifest(evaluation={"explain": {"texts": 0}}),
        "spec.evaluation.explain.texts",
        "use at least 1",
        "should be greater than or equal to 1",
    ),
    "an explanation of too many documents": Bad(
        manifest(evaluation={"explain": {"documents": 5000}}),
        "spec.evaluation.explain.documents",
        "use at most 4096",
        "should be less than or equal to 4096",
    ),
    "cleaning of noise": Bad(
        manifest(dataset={"name": "builtin://random-tokens", "cleaning": {"whitespace": True}}),
        "spec.dataset.cleaning",
        "is no text that could be cleaned",
    ),
    "a middle of noise": Bad(
        manifest(dataset={"name": "builtin://random-tokens", "fillInTheMiddle": {}}),
        "spec.dataset.fillInTheMiddle",
        "is no text that could have a middle; remove fillInTheMiddle",
    ),
    "a middle of dialogues": Bad(
        manifest(task="chat", dataset={"name": "pvc://talks/all", "fillInTheMiddle": {}}),
        "spec.dataset.fillInTheMiddle",
        "is for task causal",
    ),
    "a middle for a model that reads both sides": Bad(
        manifest(model=BERT, dataset={"name": "pvc://texts/a", "fillInTheMiddle": {"rate": 0.5}}),
        "spec.dataset.fillInTheMiddle",
        "is for task causal",
    ),
    "a middle for encoder and decoder": Bad(
        manifest(model=T5, task="seq2seq", dataset={"name": "pvc://texts/a", "fillInTheMiddle": {}}),
        "spec.dataset.fillInTheMiddle",
        "is for task causal",
    ),
    "a middle of no document": Bad(
        manifest(dataset={"name": "pvc://texts/a", "fillInTheMiddle": {"rate": 0}}),
        "spec.dataset.fillInTheMiddle.rate",
        "use more than 0",
        "greater than 0",
    ),
    "more than all suffixes first": Bad(
        manifest(dataset={"name": "pvc://texts/a", "fillInTheMiddle": {"spmShare": 1.5}}),
        "spec.dataset.fillInTheMiddle.spmShare",
        "at most 1",
        "1",
    ),
    "no length that fits": Bad(
        cleaned(minCharacters=10, maxCharacters=9), "spec.dataset.cleaning.minCharacters", "lower it"
    ),
    "a step of cleaning that is none": Bad(
        cleaned(dedup=True), "spec.dataset.cleaning.dedup", "remove it", "unknown field"
    ),
    "personal data of no kind": Bad(
        cleaned(mask=["names"]), "spec.dataset.cleaning.mask[0]", "'names'", "Unsupported value"
    ),
    "personal data twice": Bad(
        cleaned(mask=["ips", "ips"]), "spec.dataset.cleaning.mask", "named twice; name it once"
    ),
    "a region without phones": Bad(
        cleaned(mask=["emails"], phoneRegion="DE"), "spec.dataset.cleaning.phoneRegion", "add phones"
    ),
    "a region that is none": Bad(
        cleaned(mask=["phones"], phoneRegion="Germany"),
        "spec.dataset.cleaning.phoneRegion",
        "longer than 2 characters",
        "2",
    ),
    "a similarity of exact copies": Bad(
        cleaned(duplicates="exact", similarity=0.9), "spec.dataset.cleaning.similarity", "duplicates: near"
    ),
    "a similarity of almost anything": Bad(
        cleaned(duplicates="near", similarity=0.1), "spec.dataset.cleaning.similarity", "at least 0.5", "0.5"
    ),
    "a bound of quality that is none": Bad(
        cleaned(quality={"minWords": 5}),
        "spec.dataset.cleaning.quality.minWords",
        "remove it",
        "unknown field",
    ),
    "a source twice": Bad(mixed(BOOKS, STDLIB, BOOKS), "spec.dataset.mixture", "name it once"),
    "a limit of all sources": Bad(
        manifest(dataset={"mixture": [BOOKS], "maxBytes": 20_000}),
        "spec.dataset.maxBytes",
        "give it to each source",
    ),
    "a revision of a folder": Bad(
        manifest(dataset={"name": "pvc://lake/x", "revision": "main"}),
        "spec.dataset.revision",
        "only a dataset of the hub",
    ),
    "a revision of a source that is no dataset": Bad(
        mixed(STDLIB | {"revision": "main"}, BOOKS),
        "spec.dataset.mixture[0].revision",
        "only a dataset of the hub",
    ),
    "credentials for a folder": Bad(
        manifest(dataset={"name": "pvc://lake/x", "secret": "store"}),
        "spec.dataset.secret",
        "remove",
    ),
    "a bucket's name in upper case": Bad(
        manifest(dataset={"name": "s3://Lake/x"}),
        "spec.dataset.name",
        "the bucket 'Lake' must be",
        "use builtin://python-stdlib",
    ),
    "a hub's dataset that climbs": Bad(
        manifest(dataset={"name": "owner/name/../x"}), "spec.dataset.name", "'..'"
    ),
    "a name without an owner": Bad(manifest(dataset={"name": "wikitext"}), "spec.dataset.name", "OWNER/NAME"),
    "a cache in a bucket": Bad(
        manifest(dataset={"name": "pvc://lake/x", "cache": "s3://lake/tokens"}),
        "spec.dataset.cache",
        "use pvc://CLAIM/FOLDER",
    ),
    "a cache that climbs": Bad(
        manifest(dataset={"name": "pvc://lake/x", "cache": "pvc://lake/../x"}), "spec.dataset.cache", "'..'"
    ),
    "columns of all sources": Bad(
        manifest(dataset={"mixture": [BOOKS], "fields": {"text": "body"}}),
        "spec.dataset.fields",
        "give it to each source",
    ),
    "a column without a name": Bad(
        manifest(dataset={"fields": {"text": ""}}), "spec.dataset.fields.text", "is empty", "at least 1"
    ),
    "a field of rows that is not known": Bad(
        manifest(dataset={"fields": {"txet": "body"}}),
        "spec.dataset.fields.txet",
        "remove it",
        "unknown field",
    ),
    "fewer held-out sequences than sources": Bad(
        mixed(STDLIB, BOOKS, evaluation={"maxSequences": 1}),
        "spec.evaluation.maxSequences",
        "use at least 2",
        "at least the number of sources",
    ),
    "unknown model": Bad(
        manifest(model={"name": "builtin://tiny-mamba"}), "spec.model.name", "builtin://tiny-llama"
    ),
    "a task of another architecture": Bad(
        manifest(task="masked"), "spec.task", "LlamaForCausalLM, which learns task causal", "remove task"
    ),
    "dialogues of built-in data": Bad(
        manifest(task="chat"), "spec.dataset", "has no dialogues, which task chat needs", "no dialogues"
    ),
    "pairs of built-in data": Bad(
        manifest(task="preference"), "spec.dataset", "which task preference needs", "no dialogues"
    ),
    "pairs for a model that fills gaps": Bad(
        manifest(
            model={"name": "builtin://tiny-bert"}, task="preference", dataset={"name": "pvc://talks/all"}
        ),
        "spec.task",
        "learns task masked",
        "remove task",
    ),
    "a loss of pairs for another task": Bad(
        manifest(training={"preference": {"loss": "ipo"}}),
        "spec.training.preference",
        "set task: preference",
        "set task: preference",
    ),
    "an unknown loss of pairs": Bad(
        manifest(
            task="preference", dataset={"name": "pvc://talks/all"}, training={"preference": {"loss": "ppo"}}
        ),
        "spec.training.preference.loss",
        "'dpo', 'ipo', 'orpo' or 'kto'",
        "ppo",
    ),
    "no weight of the reference": Bad(
        manifest(
            task="preference", dataset={"name": "pvc://talks/all"}, training={"preference": {"beta": 0}}
        ),
        "spec.training.preference.beta",
        "use more than 0",
        "greater than 0",
    ),
    "more than half of the pairs the wrong way round": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            training={"preference": {"labelSmoothing": 0.5}},
        ),
        "spec.training.preference.labelSmoothing",
        "use at most 0.49",
        "less than or equal to 0.49",
    ),
    "smoothing of a loss that has none": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            training={"preference": {"loss": "orpo", "labelSmoothing": 0.1}},
        ),
        "spec.training.preference.labelSmoothing",
        "is for loss dpo",
        "is for loss dpo",
    ),
    "a weight of a loss that has none": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            training={"preference": {"desirableWeight": 2}},
        ),
        "spec.training.preference.desirableWeight",
        "use kto instead of dpo",
        "is for loss kto",
    ),
    "another weight of a loss that has none": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            training={"preference": {"loss": "ipo", "undesirableWeight": 0.5}},
        ),
        "spec.training.preference.undesirableWeight",
        "use kto instead of ipo",
        "is for loss kto",
    ),
    "answers without a weight": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            training={"preference": {"loss": "kto", "undesirableWeight": 0}},
        ),
        "spec.training.preference.undesirableWeight",
        "use more than 0",
        "greater than 0",
    ),
    "smoothing of a loss of answers": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            training={"preference": {"loss": "kto", "labelSmoothing": 0.1}},
        ),
        "spec.training.preference.labelSmoothing",
        "is for loss dpo",
        "is for loss dpo",
    ),
    "a column of labels for a loss of pairs": Bad(
        manifest(task="preference", dataset={"name": "pvc://talks/all", "fields": {"label": "good"}}),
        "spec.dataset",
        "fields.label is for task classification or regression, or for preference with loss kto",
        "label for loss kto",
    ),
    "a column of answers for a loss of pairs, in a mixture": Bad(
        manifest(
            task="preference",
            dataset={"mixture": [{"name": "pvc://talks/all", "weight": 1, "fields": {"completion": "a"}}]},
            training={"preference": {"loss": "ipo"}},
        ),
        "spec.dataset",
        "fields.completion is for task chat or imageChat, or for preference with loss kto",
        "completion for loss kto",
    ),
    "labels of answers for the loss of another task": Bad(
        manifest(task="reward", dataset={"name": "pvc://talks/all", "fields": {"label": "good"}}),
        "spec.dataset",
        "fields.label is for task classification or regression",
        "label for loss kto",
    ),
    "answers with pipeline parallelism": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            processesPerNode=2,
            parallelism={"pipeline": 2},
            training={"preference": {"loss": "kto"}},
        ),
        "spec.parallelism",
        "loss kto needs the whole of an answer on one rank",
        "for data parallelism with ZeRO only",
    ),
    "pairs with tensor parallelism": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            processesPerNode=2,
            parallelism={"tensor": 2},
        ),
        "spec.parallelism",
        "for data parallelism with ZeRO only",
        "for data parallelism with ZeRO only",
    ),
    "rewards with tensor parallelism": Bad(
        manifest(
            task="reward", dataset={"name": "pvc://talks/all"}, processesPerNode=2, parallelism={"tensor": 2}
        ),
        "spec.parallelism",
        "task reward needs the whole of both answers",
        "for data parallelism with ZeRO only",
    ),
    "packed pairs for rewards": Bad(
        manifest(task="reward", dataset={"name": "pvc://talks/all"}, training={"packing": "documents"}),
        "spec.training.packing",
        "pairs of answers are never packed",
        "never packed",
    ),
    "compiled layers for rewards": Bad(
        manifest(task="reward", dataset={"name": "pvc://talks/all"}, training={"compile": True}),
        "spec.training.compile",
        "compile with task reward",
        "passes have many lengths",
    ),
    "a loss of preferences for rewards": Bad(
        manifest(
            task="reward", dataset={"name": "pvc://talks/all"}, training={"preference": {"loss": "ipo"}}
        ),
        "spec.training.preference",
        "set task: preference",
        "set task: preference",
    ),
    "rewards of built-in data": Bad(
        manifest(task="reward"), "spec.dataset", "which task reward needs", "no dialogues"
    ),
    "rewards by a model that fills gaps": Bad(
        manifest(model={"name": "builtin://tiny-bert"}, task="reward", dataset={"name": "pvc://talks/all"}),
        "spec.task",
        "learns task masked",
        "remove task",
    ),
    "an adapter beside a head of rewards": Bad(
        manifest(
            model={"name": "builtin://tiny-llama", "adapter": {"rank": 4}},
            task="reward",
            dataset={"name": "pvc://talks/all"},
        ),
        "spec.model.adapter",
        "the head of task reward",
        "remove model.adapter",
    ),
    "a column of dialogues for rewards": Bad(
        manifest(task="reward", dataset={"name": "pvc://talks/all", "fields": {"completion": "a"}}),
        "spec.dataset",
        "fields.completion is for task chat",
        "set task: chat",
    ),
    "packed pairs": Bad(
        manifest(task="preference", dataset={"name": "pvc://talks/all"}, training={"packing": "documents"}),
        "spec.training.packing",
        "pairs of answers are never packed",
        "never packed",
    ),
    "compiled layers for pairs": Bad(
        manifest(task="preference", dataset={"name": "pvc://talks/all"}, training={"compile": True}),
        "spec.training.compile",
        "passes have many lengths",
        "passes have many lengths",
    ),
    "columns of pairs for dialogues": Bad(
        manifest(task="chat", dataset={"name": "pvc://talks/all", "fields": {"chosen": "good"}}),
        "spec.dataset",
        "fields.chosen is for task preference",
        "set task: preference",
    ),
    "columns of dialogues for pairs": Bad(
        manifest(task="preference", dataset={"name": "pvc://talks/all", "fields": {"completion": "a"}}),
        "spec.dataset",
        "fields.completion is for task chat",
        "set task: chat",
    ),
    "answers that are compared of pairs": Bad(
        manifest(
            task="preference",
            dataset={"name": "pvc://talks/all"},
            evaluation={"answerMetrics": ["chrf"]},
        ),
        "spec.evaluation.answerMetrics",
        "which only task chat and text2text have",
        "set task: chat",
    ),
    "a column of text for answers": Bad(
        manifest(task="preference", dataset={"name": "pvc://talks/all", "fields": {"text": "body"}}),
        "spec.dataset",
        "fields.text is for other tasks than preference",
        "remove it",
    ),
    "dialogues for a model that fills gaps": Bad(
        manifest(model={"name": "builtin://tiny-bert"}, task="chat", dataset={"name": "pvc://talks/all"}),
        "spec.task",
        "learns task masked",
        "remove task",
    ),
    "columns of dialogues for another task": Bad(
        manifest(dataset={"name": "pvc://a/b", "fields": {"messages": "talk"}}),
        "spec.dataset",
        "set task: chat",
        "set task: chat",
    ),
    "a template for another task": Bad(
        manifest(dataset={"name": "pvc://a/b", "chatTemplate": "{{ messages }}"}),
        "spec.dataset",
        "set task: chat",
        "set task: chat",
    ),
    "a column of text for dialogues": Bad(
        manifest(task="chat", dataset={"name": "pvc://talks/all", "fields": {"text": "body"}}),
        "spec.dataset",
        "fields.text is for other tasks than chat",
        "remove it",
    ),
    "dialogues with sequence parallelism": Bad(
        manifest(
            task="chat",
            dataset={"name": "pvc://talks/all"},
            processesPerNode=2,
            parallelism={"sequence": 2},
        ),
        "spec.training.packing",
        "parallelism.sequence drops that mask",
        "without parallelism.sequence",
    ),
    "unknown task": Bad(manifest(task="chess"), "spec.task", "use one of", "supported values"),
    "a model without its owner": Bad(
        manifest(model={"name": "gpt2"}), "spec.model.name", "of the Hugging Face hub, OWNER/NAME"
    ),
    "sizes of a model that has its own": Bad(
        manifest(model={"name": "Qwen/Qwen2.5-7B", "numLayers": 2}),
        "spec.model",
        "numLayers beside 'Qwen/Qwen2.5-7B'",
        "come from their config.json",
    ),
    "untied embeddings of a model that says so itself": Bad(
        manifest(model={"name": "pvc://models/mine", "tiedEmbeddings": False}),
        "spec.model",
        "remove it",
        "come from their config.json",
    ),
    "revision of a folder": Bad(
        manifest(model={"name": "pvc://models/mine", "revision": "main"}),
        "spec.model.revision",
        "only a model of the hub (OWNER/NAME) has revisions",
    ),
    "revision that is no name": Bad(
        manifest(model={"name": "Qwen/Qwen2.5-7B", "revision": "-x"}),
        "spec.model.revision",
        "it must match",
        "should match",
    ),
    "credentials for a model in a folder": Bad(
        manifest(model={"name": "pvc://models/mine", "secret": "token"}),
        "spec.model.secret",
        "needs no credentials",
        "needs credentials",
    ),
    "pretrained weights of a built-in model": Bad(
        manifest(model={"name": "builtin://tiny-llama", "weights": "pretrained"}),
        "spec.model.weights",
        "remove weights",
    ),
    "steps and epochs": Bad(
        manifest(training={"maxSteps": 5, "epochs": 1}), "spec.training.maxSteps", "keep one of them"
    ),
    "batch below world size": Bad(
        manifest(nodes=8, training={"globalBatchSize": 4, "microBatchSize": 1}),
        "spec.training.globalBatchSize",
        "at least",
    ),
    "kind of a tokenizer that a model brings": Bad(
        manifest(model={"name": "Qwen/Qwen2.5-7B", "tokenizerKind": "bpe"}),
        "spec.model",
        "tokenizerKind beside 'Qwen/Qwen2.5-7B'",
        "come from their config.json",
    ),
    "unknown kind of tokenizer": Bad(
        manifest(model={"name": "builtin://tiny-llama", "tokenizerKind": "words"}),
        "spec.model.tokenizerKind",
        "use one of",
        "supported values",
    ),
    "too few entries for pieces of words": Bad(
        manifest(model={"name": "builtin://tiny-llama", "tokenizerKind": "wordPiece", "vocabSize": 599}),
        "spec.model.vocabSize",
        "too small for tokenizerKind wordPiece",
    ),
    "heads do not divide": Bad(
        manifest(model={"name": "builtin://tiny-llama", "hiddenSize": 100, "numHeads": 3}),
        "spec.model.hiddenSize",
        "multiple of numHeads",
    ),
    "output without a scheme": Bad(
        manifest(output={"uri": "/tmp/x"}), "spec.output.uri", "use pvc://CLAIM/FOLDER"
    ),
    "output that climbs": Bad(
        manifest(output={"uri": "pvc://checkpoints/../other"}), "spec.output.uri", "'..'"
    ),
    "output that is hidden": Bad(
        manifest(output={"uri": "pvc://checkpoints/.x"}), "spec.output.uri", "hidden"
    ),
    "output of an empty part": Bad(
        manifest(output={"uri": "pvc://checkpoints//x"}), "spec.output.uri", "empty"
    ),
    "output with a control character": Bad(
        manifest(output={"uri": "pvc://checkpoints/a\x85b"}), "spec.output.uri", "U+0085", "use pvc://"
    ),
    "a dataset that climbs": Bad(manifest(dataset={"name": "pvc://lake/../x"}), "spec.dataset.name", "'..'"),
    "a claim in upper case": Bad(
        manifest(dataset={"name": "pvc://Lake/x"}),
        "spec.dataset.name",
        "the claim 'Lake'",
        "pvc://CLAIM/FOLDER",
    ),
    "one folder for data and results": Bad(
        manifest(dataset={"name": "pvc://lake/x"}, output={"uri": "pvc://lake/x/"}),
        "spec.output.uri",
        "use another folder",
    ),
    "a number in quotes": Bad(
        manifest(nodes="2"), "spec.nodes", "without quotes", 'must be of type integer: "string"'
    ),
    "a flag for a number": Bad(
        manifest(training={"maxSteps": True}),
        "spec.training.maxSteps",
        "use a whole number",
        'must be of type integer: "boolean"',
    ),
    "a text for a flag": Bad(
        manifest(training={"compile": "no"}),
        "spec.training.compile",
        "use true or false",
        'must be of type boolean: "string"',
    ),
    "a whole bucket": Bad(manifest(output={"uri": "s3://models"}), "spec.output.uri", "s3://BUCKET/FOLDER"),
    "credentials of a volume": Bad(
        manifest(output={"uri": "pvc://checkpoints/x", "secret": "store"}), "spec.output.secret", "remove"
    ),
    "memory that is no quantity": Bad(
        manifest(resources={"memory": "lots"}), "spec.resources.memory", "such as 512Mi", "should match"
    ),
    "memory in another unit": Bad(
        manifest(resources={"memory": "4GB"}), "spec.resources.memory", "such as 512Mi", "should match"
    ),
    "no CPU": Bad(manifest(resources={"cpu": 0}), "spec.resources.cpu", "such as 2, 0.5", "greater than 0"),
    "a CPU below 0": Bad(
        manifest(resources={"cpu": -0.5}), "spec.resources.cpu", "such as 2, 0.5", "greater than 0"
    ),
    "a CPU that is true": Bad(
        manifest(resources={"cpu": True}), "spec.resources.cpu", "such as 2, 0.5", "must not validate"
    ),
    "name too long": Bad(manifest("a" * 53), "metadata.name", "at most 52", "at most 52"),
    "a label key with a space": Bad(
        manifest(nodeSelector={"a pool": "x"}), "spec.nodeSelector", "a key must be NAME or PREFIX/NAME"
    ),
    "a label key with a prefix that is no DNS name": Bad(
        manifest(labels={"Team/x": "x"}), "spec.labels", "the prefix a DNS name"
    ),
    "a label key with a prefix that is too long": Bad(
        manifest(labels={f"{'a' * 254}/x": "x"}), "spec.labels", "the prefix a DNS name"
    ),
    "a label value with a space": Bad(
        manifest(nodeSelector={"pool": "a 100"}), "spec.nodeSelector", "a value must be at most 63 letters"
    ),
    "a label value that is a number": Bad(
        manifest(nodeSelector={"pool": 100}), "spec.nodeSelector.pool", "in quotes", "must be of type string"
    ),
    "a label value that is too long": Bad(
        manifest(labels={"team": "a" * 64}), "spec.labels.team", "longer than 63", "Too long"
    ),
    "too many labels": Bad(
        manifest(labels={f"team-{n}": "x" for n in range(33)}), "spec.labels", "at most 32", "at most 32"
    ),
    "a label of the operator": Bad(
        manifest(labels={"llmtrain.dev/job-uid": "x"}),
        "spec.labels",
        "the operator sets llmtrain.dev/job-uid itself; remove it",
        "remove keys under llmtrain.dev/",
    ),
    "the label of who manages": Bad(
        manifest(labels={"app.kubernetes.io/managed-by": "me"}),
        "spec.labels",
        "the operator sets app.kubernetes.io/managed-by itself; remove it",
        "app.kubernetes.io/managed-by",
    ),
    "an annotation of the operator": Bad(
        manifest(annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}),
        "spec.annotations",
        "the operator sets cluster-autoscaler.kubernetes.io/safe-to-evict itself; remove it",
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
    ),
    "an annotation key with two slashes": Bad(
        manifest(annotations={"a/b/c": "x"}), "spec.annotations", "a key must be NAME or PREFIX/NAME"
    ),
    "a toleration of every value with a value": Bad(
        manifest(tolerations=[{"key": "gpu", "operator": "Exists", "value": "a"}]),
        "spec.tolerations[0].value",
        "remove value, or use operator Equal",
    ),
    "a toleration of nothing": Bad(
        manifest(tolerations=[{"key": "a", "operator": "Exists"}, {"effect": "NoSchedule"}]),
        "spec.tolerations[1].key",
        "use operator: Exists to tolerate every taint",
    ),
    "a toleration with a key that is no key": Bad(
        manifest(tolerations=[{"key": "a b", "operator": "Exists"}]),
        "spec.tolerations[0].key",
        "a key must be NAME or PREFIX/NAME",
    ),
    "a toleration with a value that is no value": Bad(
        manifest(tolerations=[{"key": "a", "value": "-"}]),
        "spec.tolerations[0].value",
        "a value must be at most 63 letters",
    ),
    "an unknown effect": Bad(
        manifest(tolerations=[{"key": "a", "operator": "Exists", "effect": "NoRun"}]),
        "spec.tolerations[0].effect",
        "'NoExecute'",
        '"NoExecute"',
    ),
    "an unknown operator": Bad(
        manifest(tolerations=[{"key": "a", "operator": "In"}]),
        "spec.tolerations[0].operator",
        "'Equal' or 'Exists'",
        '"Equal"',
    ),
    "seconds of a toleration that never evicts": Bad(
        manifest(tolerations=[{"key": "a", "operator": "Exists", "tolerationSeconds": 5}]),
        "spec.tolerations[0].tolerationSeconds",
        "NoExecute",
        "set effect: NoExecute, or remove it",
    ),
    "a pull secret without a name": Bad(
        manifest(imagePullSecrets=[{}]), "spec.imagePullSecrets[0].name", "is required", "Required value"
    ),
    "a pull secret as a text": Bad(
        manifest(imagePullSecrets=["pull"]), "spec.imagePullSecrets[0]", "a mapping", "must be of type object"
    ),
    "a pull secret's name in capitals": Bad(
        manifest(imagePullSecrets=[{"name": "Pull"}]),
        "spec.imagePullSecrets[0].name",
        "use lowercase letters",
    ),
    "a priority class with a space": Bad(
        manifest(priorityClassName="very high"), "spec.priorityClassName", "use lowercase letters"
    ),
    "fewer nodes in a queue of another scheduler": Bad(
        manifest(nodes=2, minNodes=1, queueName="team"), "spec.minNodes", "whole gangs only"
    ),
    "a controller without its domain": Bad(manifest(managedBy="multikueue"), "spec.managedBy", "DOMAIN/NAME"),
    "a queue's name in capitals": Bad(manifest(queueName="Team"), "spec.queueName", "use lowercase letters"),
    "an adapter of rank 0": Bad(
        manifest(model=LLAMA | {"adapter": {"rank": 0}}),
        "spec.model.adapter.rank",
        "use at least 1",
        "greater than or equal to 1",
    ),
    "an adapter with a field of another library": Bad(
        manifest(model=LLAMA | {"adapter": {"lora_alpha": 8}}),
        "spec.model.adapter.lora_alpha",
        "remove it",
        "unknown field",
    ),
    "all linear layers and one more": Bad(
        manifest(model=LLAMA | {"adapter": {"targets": ["all-linear", "q_proj"]}}),
        "spec.model.adapter.targets",
        "keep it alone",
    ),
    "an adapter in parts": Bad(
        manifest(model=LLAMA | {"adapter": {}}, parallelism={"tensor": 2}),
        "spec.parallelism",
        "use tensor 1",
        "with model.adapter use tensor 1",
    ),
    "an adapter alone where there is none": Bad(
        manifest(output={"uri": "pvc://claim/run", "merged": False}),
        "spec.output.merged",
        "remove it",
    ),
    "a deadline before the beginning": Bad(
        manifest(activeDeadlineSeconds=0),
        "spec.activeDeadlineSeconds",
        "use at least 1",
        "greater than or equal to 1",
    ),
    "no time to start": Bad(
        manifest(startTimeoutSeconds=-5),
        "spec.startTimeoutSeconds",
        "use at least 1",
        "greater than or equal to 1",
    ),
    "no GPU-hours at all": Bad(
        manifest(limits={"gpuHours": 0}),
        "spec.limits.gpuHours",
        "use more than 0",
        "should be greater than 0",
    ),
    "a life that ends before it is over": Bad(
        manifest(ttlSecondsAfterFinished=-1),
        "spec.ttlSecondsAfterFinished",
        "use at least 0",
        "greater than or equal to 0",
    ),
    "pods that are kept now and then": Bad(
        manifest(keepPods="sometimes"), "spec.keepPods", "'onFailure'", '"onFailure"'
    ),
    "a suspension that is neither": Bad(
        manifest(suspend="later"), "spec.suspend", "true or false", "must be of type boolean"
    ),
    "a ServiceAccount with its namespace": Bad(
        manifest(serviceAccountName="team/trainer"), "spec.serviceAccountName", "use lowercase letters"
    ),
}
REINFORCEMENT = "spec.training.reinforcement"
BAD |= {
    "rewards are missing": Bad(
        manifest(task="reinforcement", dataset={"name": "pvc://data/prompts"}),
        REINFORCEMENT,
        "set training.reinforcement.rewards",
        "needs training.reinforcement with its rewards",
    ),
    "rewards of another task": Bad(
        manifest(training={"reinforcement": {"rewards": [{"kind": "json"}]}}),
        REINFORCEMENT,
        "set task: reinforcement",
        "no other task has it",
    ),
    "a reward that is a program": Bad(
        reinforced({"kind": "python"}), f"{REINFORCEMENT}.rewards[0]", "and no code", "supported values"
    ),
    "a reward with a program beside it": Bad(
        reinforced({"kind": "json", "function": "def f(): pass"}),
        f"{REINFORCEMENT}.rewards[0]",
        "use rules, or entrypoint",
        "unknown field",
    ),
    "a regex without a pattern": Bad(
        reinforced({"kind": "regex"}), f"{REINFORCEMENT}.rewards[0].pattern", "needs a pattern"
    ),
    "a pattern of JSON": Bad(
        reinforced({"kind": "json", "pattern": "a"}),
        f"{REINFORCEMENT}.rewards[0].pattern",
        "use regex instead of json",
        "others have none",
    ),
    "a text of a regex": Bad(
        reinforced({"kind": "regex", "pattern": "a", "text": "a"}),
        f"{REINFORCEMENT}.rewards[0].text",
        "text is for kind contains",
    ),
    "a length without bounds": Bad(
        reinforced({"kind": "length"}),
        f"{REINFORCEMENT}.rewards[0].minCharacters",
        "needs minCharacters or maxCharacters",
    ),
    "a length with bounds the wrong way round": Bad(
        reinforced({"kind": "length", "minCharacters": 5, "maxCharacters": 4}),
        f"{REINFORCEMENT}.rewards[0].minCharacters",
        "lower minCharacters",
        "the first not above the second",
    ),
    "bounds of JSON": Bad(
        reinforced({"kind": "json", "maxCharacters": 4}),
        f"{REINFORCEMENT}.rewards[0].minCharacters",
        "and this is json",
        "others have none",
    ),
    "a reward of nothing": Bad(
        reinforced({"kind": "json", "weight": 0}), f"{REINFORCEMENT}.rewards[0].weight", "rewards nothing"
    ),
    "a reward model without its folder": Bad(
        reinforced({"kind": "model"}), f"{REINFORCEMENT}.rewards[0].model", "set model", "needs model"
    ),
    "a reward model of JSON": Bad(
        reinforced({"kind": "json", "model": "pvc://models/reward"}),
        f"{REINFORCEMENT}.rewards[0].model",
        "use model instead of json",
        "others have none",
    ),
    "a reward model of the hub": Bad(
        reinforced({"kind": "model", "model": "owner/reward"}),
        f"{REINFORCEMENT}.rewards[0].model",
        "use pvc://CLAIM/FOLDER or file:///FOLDER",
    ),
    "two reward models": Bad(
        reinforced(
            {"kind": "model", "model": "pvc://models/a"},
            {"kind": "model", "model": "pvc://models/b", "name": "other"},
        ),
        f"{REINFORCEMENT}.rewards",
        "each rank holds one",
    ),
    "two rewards of one name": Bad(
        reinforced({"kind": "json"}, {"kind": "length", "name": "json", "maxCharacters": 4}),
        f"{REINFORCEMENT}.rewards",
        "a name of its own",
    ),
    "no room for a prompt": Bad(
        reinforced(how={"maxNewTokens": 128}),
        f"{REINFORCEMENT}.maxNewTokens",
        "raise training.sequenceLength",
    ),
    "answers by tensor ranks": Bad(
        reinforced(nodes=2, parallelism={"tensor": 2}),
        "spec.parallelism",
        "tensor parallelism cuts them",
        "use data parallelism with ZeRO 0 to 2",
    ),
    "answers by stages": Bad(
        reinforced(nodes=2, parallelism={"pipeline": 2}),
        "spec.parallelism",
        "cannot write answers",
        "use data parallelism with ZeRO 0 to 2",
    ),
    "answers by ranks that share a sequence": Bad(
        reinforced(nodes=2, parallelism={"sequence": 2}),
        "spec.parallelism",
        "no sequence is there yet",
        "use data parallelism with ZeRO 0 to 2",
    ),
    "answers with sharded weights": Bad(
        reinforced(training={"zeroStage": 3}), "spec.training.zeroStage", "use zeroStage 2 or lower"
    ),
    "answers that are packed": Bad(
        reinforced(training={"packing": "documents"}), "spec.training.packing", "answers are never packed"
    ),
    "answers in compiled layers": Bad(
        reinforced(training={"compile": True}), "spec.training.compile", "each is compiled anew"
    ),
    "a page about prompts": Bad(
        reinforced(evaluation={"explain": {}}),
        "spec.evaluation.explain",
        "task reinforcement holds out prompts",
    ),
    "prompts are measured": Bad(
        measured(
            task="reinforcement",
            dataset={"name": "pvc://data/prompts"},
            training={"reinforcement": {"rewards": [{"kind": "json"}]}},
        ),
        "spec.task",
        "whose tasks are causal",
    ),
    "prompts of built-in data": Bad(
        reinforced(dataset={"name": "builtin://python-stdlib"}),
        "spec.dataset",
        "which task reinforcement needs",
        "no dialogues",
    ),
    "an answer for another task": Bad(
        manifest(task="chat", dataset={"name": "pvc://talks/all", "fields": {"answer": "a"}}),
        "spec.dataset",
        "fields.answer is for task reinforcement",
        "answer for task reinforcement",
    ),
    "answers of a model without a decoder": Bad(
        reinforced(model=BERT), "spec.task", "learns task masked", "remove task"
    ),
}
"""Those of rewards, which are many."""

SEEN_BY_OPERATOR: dict[str, Bad] = {
    "a pattern that is none": Bad(
        reinforced({"kind": "regex", "pattern": "(a"}),
        f"{REINFORCEMENT}.rewards[0].pattern",
        "which is no regular expression of Python",
    ),
    "shared memory above all memory": Bad(
        manifest(resources={"sharedMemory": "8Gi"}), "spec.resources.sharedMemory", "lower it"
    ),
    "a pod template with the command of a rank": Bad(
        manifest(podTemplate={"spec": {"containers": [{"name": "trainer", "command": ["sh"]}]}}),
        "spec.podTemplate.spec",
        "containers[trainer].command: remove it",
    ),
    "a pod template with a folder of the node": Bad(
        manifest(podTemplate={"spec": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}}),
        "spec.podTemplate.spec",
        "a volume is one of configMap, secret",
    ),
    "a CPU limit below the request": Bad(
        manifest(resources={"cpu": "1.5", "cpuLimit": "1200m"}),
        "spec.resources.cpuLimit",
        "got 1200m, below resources.cpu 1.5; raise it",
    ),
    "an adapter beside a layer that is not there": Bad(
        manifest(model=LLAMA | {"adapter": {"targets": ["q_proj", "c_attn"]}}),
        "spec.model.adapter.targets",
        "no linear layer 'c_attn'; use all-linear, or down_proj",
    ),
    "an adapter beside the output layer": Bad(
        manifest(model=LLAMA | {"adapter": {"targets": ["lm_head"]}}),
        "spec.model.adapter.targets",
        "no linear layer 'lm_head'",
    ),
    "an adapter as large as its matrix": Bad(
        manifest(model=LLAMA | {"adapter": {"rank": 129}}),
        "spec.model.adapter.rank",
        "use at most 128",
    ),
    "a CPU limit below the default request": Bad(
        manifest(resources={"cpuLimit": 0.5}), "spec.resources.cpuLimit", "below resources.cpu 1"
    ),
}
"""What CEL cannot say: the API server takes them, and the operator answers ``Accepted=False``."""


def seeing(**spec: Any) -> dict[str, Any]:
    """A job on dialogues with images, with top-level fields of spec replaced."""
    right: dict[str, Any] = {
        "model": {"name": "builtin://tiny-llava"},
        "task": "imageChat",
        "dataset": {"name": "pvc://data/pictures"},
        "training": {"sequenceLength": 64, "maxSteps": 2},
    }
    return manifest(**(right | spec))


SHORT = {"sequenceLength": 64, "maxSteps": 2}
BAD |= {
    "tensor parallelism of what sees": Bad(
        seeing(parallelism={"tensor": 2}), "spec.parallelism", "has no parts that ranks could share"
    ),
    "dialogues with images are packed": Bad(
        seeing(training=SHORT | {"packing": "documents"}), "spec.training.packing", "never packed"
    ),
    "compiled layers that see": Bad(
        seeing(training=SHORT | {"compile": True}), "spec.training.compile", "other numbers of images"
    ),
    "adapters beside what sees": Bad(
        seeing(model={"name": "builtin://tiny-llava", "adapter": {"rank": 2}}),
        "spec.model.adapter",
        "adapters beside what sees images are not proven",
    ),
    "texts beside images are cleaned": Bad(
        seeing(dataset={"name": "pvc://data/pictures", "cleaning": {"whitespace": True}}),
        "spec.dataset.cleaning",
        "have places in a text",
    ),
    "a page about images": Bad(
        seeing(evaluation={"explain": {"texts": 2}}), "spec.evaluation.explain", "read text alone"
    ),
    "images of built-in data": Bad(
        seeing(dataset={"name": "builtin://python-stdlib"}), "spec.dataset", "has no dialogues"
    ),
    "a model that reads text is asked about images": Bad(
        seeing(model={"name": "builtin://tiny-llama"}),
        "spec.task",
        "which learns task causal",
        "do not learn this task",
    ),
    "a model that sees learns text": Bad(
        seeing(task="chat"), "spec.task", "which learns task imageChat", "do not learn this task"
    ),
    "a column of images for a chat": Bad(
        manifest(task="chat", dataset={"name": "pvc://a/b", "fields": {"images": "pictures"}}),
        "spec.dataset",
        "fields.images is for task imageChat",
        "fields.images for imageChat",
    ),
}
SEEN_BY_OPERATOR["no room for an image"] = Bad(
    seeing(training={"sequenceLength": 16, "maxSteps": 2}),
    "spec.training.sequenceLength",
    "has no room for an image",
)
