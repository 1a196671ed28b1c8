"""Names that other parts and other people rely on: the API group, labels, paths inside a pod."""

from __future__ import annotations

GROUP = "llmtrain.dev"
VERSION = "v1alpha1"
KIND = "LLMTrainingJob"
PLURAL = "llmtrainingjobs"
SINGULAR = "llmtrainingjob"
SHORT_NAMES = ("llmjob", "llmjobs")
CRD_NAME = f"{PLURAL}.{GROUP}"
API_VERSION = f"{GROUP}/{VERSION}"
RUNTIME_KIND = "LLMTrainingRuntime"
RUNTIME_PLURAL = "llmtrainingruntimes"
CLUSTER_RUNTIME_KIND = "ClusterLLMTrainingRuntime"
CLUSTER_RUNTIME_PLURAL = "clusterllmtrainingruntimes"
SWEEP_KIND = "LLMTrainingSweep"
SWEEP_PLURAL = "llmtrainingsweeps"

CONTROLLER = f"{GROUP}/operator"
"""This operator, as ``spec.managedBy`` names it."""
LABEL_JOB = f"{GROUP}/job"
LABEL_JOB_UID = f"{GROUP}/job-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_RANK = f"{GROUP}/rank"
LABEL_SWEEP = f"{GROUP}/sweep"
"""On a job: the sweep that it is a trial of."""
LABEL_STAGE = f"{GROUP}/stage"
"""On a pod that runs before the gang: what it does."""
ANNOTATION_RERUN = f"{GROUP}/rerun"
"""On a job that is over: each new text starts it again."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "llm-training-operator"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"

TOKEN_AUDIENCE = f"{GROUP}/progress"
"""Audience of the projected ServiceAccount token that a worker shows with its reports."""

REPORT_PATH = "/v1/report"
"""Where the operator's progress server takes a `ProgressReport`."""

# Inside a worker pod.
CONFIG_DIR = "/etc/llmtrain"
JOB_FILE = f"{CONFIG_DIR}/job.json"
CA_FILE = f"{CONFIG_DIR}/ca.crt"
TOKEN_DIR = "/var/run/secrets/llmtrain"
TOKEN_FILE = f"{TOKEN_DIR}/token"
OUTPUT_MOUNT = "/mnt/output"
DATASET_MOUNT = "/mnt/dataset"
EVALUATION_MOUNT = "/mnt/evaluation"
CACHE_MOUNT = "/mnt/cache"
MODEL_MOUNT = "/mnt/model"
TASKS_MOUNT = "/mnt/tasks"
PAIRS_MOUNT = "/mnt/pairs"
PENALTY_PAIRS_MOUNT = "/mnt/penalty-pairs"
REWARD_MODEL_MOUNT = "/mnt/reward-model"
ORIGIN_MOUNT = "/mnt/origin"
SCRATCH_MOUNT = "/scratch"
HELD = "HeldForDebugging"
"""Why a gang whose ranks have failed still has its pods, in ``status.waiting.reason``."""
RELEASE_FILE = "release"
"""In a worker's scratch folder: a hold for debugging ends once it is there."""
MODEL_SECRET_PREFIX = "MODEL_"
"""Before each key of ``model.secret`` in a pod's environment: the output's may have the same keys."""
DATASET_SECRET_PREFIX = "DATASET_"
"""What the variables of ``dataset.secret`` begin with: the output may lie in another store."""
PUBLISH_SECRET_PREFIX = "PUBLISH_"
"""What the variables of ``output.publish.secret`` begin with."""
ENV_REGISTRY_CONFIG = f"{PUBLISH_SECRET_PREFIX}DOCKERCONFIGJSON"
"""Its key ``.dockerconfigjson``, whose name is none that every version of Kubernetes takes for a variable."""
REGISTRY_CONFIG_KEY = ".dockerconfigjson"


def tracker_secret_prefix(number: int | None) -> str:
    """Before each key of a tracker's secret in a pod's environment; of None what all of them begin with."""
    return "TRACKER_" if number is None else f"TRACKER_{number}_"


TERMINATION_LOG = "/dev/termination-log"
MASTER_PORT = 29400
METRICS_PORT = 9400

# Environment of a worker.
ENV_JOB_FILE = "LLMTRAIN_JOB_FILE"
ENV_NODE_RANK = "LLMTRAIN_NODE_RANK"
ENV_TERMINATION_LOG = "LLMTRAIN_TERMINATION_LOG"
ENV_METRICS_PORT = "LLMTRAIN_METRICS_PORT"
"""Port of a worker's /metrics; 0 = none."""
ENV_HOLDER = "LLMTRAIN_HOLDER"
"""Who holds the fence of an attempt: the pod's UID, so that two pods of one name can be told apart."""
ENV_OUTPUT = "LLMTRAIN_OUTPUT"
"""Folder that a program of one's own writes to, the same in each attempt."""
ENV_ATTEMPT = "LLMTRAIN_ATTEMPT"
"""Number of the attempt, from 0, for a program of one's own."""
ENV_PROGRAM = "LLMTRAIN_PROGRAM"
"""What a person typed to get to the trainer's verbs, for their usage lines."""

EXIT_FENCED = 93
"""Exit code of a writer that found a newer attempt in the output's FENCE."""
EXIT_INTERRUPTED = 75
"""Exit code after SIGTERM: the job was asked to stop and may be resumed."""
EXIT_CONFIG = 78
"""Exit code of a job that no retry can help: wrong configuration, output owned by another job."""
