"""What the words of a status mean: phases, classes, reasons. ``llmtrain explain`` reads them out."""

from __future__ import annotations

from functools import cache
from itertools import chain

from llmtrain_api.failures import PODS, PROCESSES, KnownFailure, all_exits

PHASES = {
    "Pending": "the operator has not taken it up yet",
    "Queued": "it waits without pods until all of its pods find room at once: `llmtrain why JOB` tells "
    "what is short, its place and when room is expected",
    "Inspecting": "one pod without GPUs looks at the model before the gang is asked for",
    "Preparing": "one pod without GPUs prepares the data before the gang is asked for",
    "Starting": "the gang's pods exist and not all of them run yet",
    "Running": "all pods of the gang run",
    "Restarting": "the gang failed and is started again from the newest committed checkpoint",
    "Suspending": "every rank saves a checkpoint before it gives its node back",
    "Suspended": "it stands still without pods, as spec.suspend asks for: `llmtrain resume JOB` goes on",
    "Succeeded": "it is done: status.results has the figures and where the model lies",
    "Failed": "it has failed and is not tried again by itself: `llmtrain why JOB`, then `llmtrain retry JOB`",
}
CLASSES = {
    "UserError": "the program ended by an error of its own; recovery.maxRestarts pays for another try",
    "OutOfMemory": "a GPU's or the node's memory did not suffice: a smaller microBatchSize, "
    "activationCheckpointing, a higher zeroStage or more resources.memory helps; recovery.maxRestarts "
    "pays for another try",
    "Infrastructure": "something was done to the pods from outside (a lost node, an eviction, a store away); "
    "it is tried again with growing pauses, and recovery.maxInfrastructureRestarts pays",
    "Hang": "a rank did not come on: the failure names it, and every rank's stacks are in its log",
    "ConfigError": "the job as it is written cannot run, so that it is not tried again: correct the manifest",
    "Diverged": "the loss left all bounds and training.onSpike says to stop: a lower learningRate or more "
    "warmupSteps helps",
    "DeadlineExceeded": "activeDeadlineSeconds has passed; a checkpoint was saved",
    "BudgetExceeded": "limits.gpuHours are used up; a checkpoint was saved",
    "Unknown": "nobody could say why; the end of the log is the best there is",
}
ENDS = {
    "NoRoom": "a quota refused a pod of the gang: all were given back, and the job is in the queue again",
    "StartDeadline": "the gang did not get up in time: its pods were given back, and it queues again",
    "Stopped": "the operator was asked to stop this run; the next goes on from its checkpoint",
    "ActiveDeadline": "activeDeadlineSeconds has passed",
    "Preempted": "another scheduler took its room back: a checkpoint was saved, and it queues again",
    "Resized": "the gang goes on with another number of pods, as spec.nodes or the room has changed",
    "GpuHours": "limits.gpuHours are used up",
}
WAITS = {
    "WaitingForCapacity": "not every pod of the gang would find a node now: the message tells what is short",
    "WaitingForOthers": "gangs that were let in before are not on their nodes yet",
    "BehindOthers": "it would take room that a job before it in the queue waits for",
    "QuotaExceeded": "a ResourceQuota of the namespace does not leave room for the gang",
    "Resizing": "the gang ends, with a checkpoint, to go on with another number of pods",
    "NotRunning": "of a job of this machine: no process runs it; `llmtrain run` or resume goes on",
    "WaitingForKueue": "Kueue has not set quota aside for the gang yet: the message has Kueue's words",
    "AdmissionChecks": "Kueue has set quota aside, and its admission checks are under way",
    "Deactivated": "somebody deactivated its Workload: set spec.active of that to true, or delete the job",
    "KueueRefused": "Kueue does not take the gang as it is: the message says why",
    "KueueNotReadable": "the operator cannot read Kueue's objects: its rights, or Kueue itself, are missing",
    "PlacementNotUnderstood": "Kueue asks for a placement that this operator does not understand",
    "Preempted": "another scheduler takes its room back: it saves a checkpoint, and queues again",
    "HeldForDebugging": "ranks have failed, and recovery.holdSeconds keeps their pods for a person to look "
    "around in: the message tells the failure, until when, and how to end that sooner",
    "OldPodsTerminating": "pods of the attempt before are not gone: two gangs must not write to one output",
    "TwoPodsOfOneRank": "two pods are known under one rank: one of them must be a memory",
    "SpecNotReadable": "this operator is older than the job's spec and cannot read it",
    "NodeNotReady": "a pod's node does not answer",
    "NameConflict": "an object that is not this job's has the name of its pod or Service: rename the job",
    "Forbidden": "the cluster does not let the operator create a pod: the message says which rule",
    "ApiUnavailable": "the API server does not take writes at the moment; the operator tries again",
    "DeletionRefused": "the API server does not delete a pod that must go first",
    "Rejected": "the API server does not take a pod as the job wants it: the message says what is wrong",
    "Unschedulable": "the scheduler finds no node for a pod",
    "ContainerCreating": "the pod's image is pulled and its volumes are mounted",
    "PodInitializing": "the pod's init containers run",
    "ImagePullBackOff": "the image cannot be pulled, and the kubelet tries again with pauses",
    "ErrImagePull": "the image cannot be pulled: the message says why",
    "CrashLoopBackOff": "a container ends again and again",
    "RuntimeMissing": "spec.runtime names a runtime that neither the namespace nor the cluster has",
    "RuntimeNotReadable": "the runtime that the job asks for is not written as a runtime must be",
    "RuntimeNotForNamespace": "the cluster's runtime may not be used by jobs of this namespace",
    "RuntimesNotListed": "the operator has not read the runtimes yet, or has no right to",
    "NoCheckpoint": "the job or step that checkpoint.from names is not there (yet): the message says which",
    "OutOfBounds": "the job asks for what its runtime does not allow: the message names the fields",
    "FailedMount": "a volume of the pod cannot be mounted: the message has the kubelet's words",
    "FailedAttachVolume": "a volume cannot be attached to the pod's node, as where another node holds it",
    "FailedMapVolume": "a block volume of the pod cannot be set up on its node",
    "FailedCreatePodSandBox": "the node cannot set up the pod's network or sandbox; the kubelet tries again",
    "CreateContainerConfigError": "something that the container refers to, such as a Secret, is not there",
}
CONDITIONS = {
    "Accepted": "whether the job may run as it is written; False tells the field and the fix",
    "Complete": "it has succeeded (kubectl wait --for=condition=Complete)",
    "Running": "all pods of the gang run",
    "Suspended": "it stands still without pods, as spec.suspend asks for",
    "Failed": "it has failed and is not tried again by itself",
    "Straggler": "a rank computes much longer than its peers, which wait for it: the message names its node",
    "RuntimeChanged": "the platform team's runtime is not what the job began with, and goes on with",
    "ReportingLost": "no figures have come from rank 0 for a while, though its pod runs",
}
EVENTS = {
    "Accepted": "the job may run as it is written, and its first attempt begins",
    "InvalidSpec": "the job cannot run as it is written: the message names the field and the fix",
    "OutOfBounds": "the job asks for what its runtime does not allow",
    "ModelRefused": "its model cannot be had, or cannot be trained as the job asks: the message says why",
    "NoCheckpoint": "the job or step that checkpoint.from names is not there",
    "Inspecting": "the model is looked at",
    "Preparing": "the data are prepared",
    "SetupFailed": "the pod that looked at the model, or prepared the data, failed; another one follows",
    "Queued": "it waits: the message tells for what",
    "Running": "all pods of an attempt run",
    "Restarting": "the gang failed: the message tells why, and the number of the next attempt",
    "Held": "ranks have failed, and their pods stay until a person has looked around in them, or for "
    "recovery.holdSeconds",
    "NotificationGivenUp": "a receiver of spec.notify could not be told for an hour: the message says why",
    "Preempted": "its room goes to others: every rank saves a checkpoint, and the job queues again",
    "Resized": "the gang has another number of nodes than before, or than the job wants",
    "Suspending": "every rank saves a checkpoint",
    "Suspended": "it stands still without pods",
    "Resumed": "it is no longer suspended",
    "Rerun": "it was over and is tried again, as its annotation asks for",
    "Succeeded": "it is done",
    "Published": "the export was pushed to where output.publish says: the message has the commit, the "
    "digest or the version",
    "PublishFailed": "the export could not be pushed to where output.publish says; the job has succeeded, "
    "and the message says why it could not and what helps",
    "Failed": "it has failed and is not tried again by itself: the message has the class and the hint",
}


@cache
def known_failures() -> dict[str, KnownFailure]:
    """Every known failure by its name."""
    found = {known.name: known for known in chain(PROCESSES, PODS)}
    return {known.name: known for _, known in all_exits()} | found


@cache
def words() -> dict[str, str]:
    """Every word of a status that is no known failure, with what kind of word it is and what it means."""
    kinds = (
        ("an event", EVENTS),
        ("a condition", CONDITIONS),
        ("why a job waits", WAITS),
        ("why the operator ended an attempt", ENDS),
        ("a class of failures", CLASSES),
        ("a phase", PHASES),
    )
    found: dict[str, str] = {}
    for kind, table in kinds:
        for word, text in table.items():
            found[word] = f"{kind}: {text}" + (f"; also {found[word]}" if word in found else "")
    return found


def explain_reason(word: str) -> list[str] | None:
    """What a word of a status means, whatever the case of its letters; None where it is not known."""
    by_lower = {name.lower(): name for name in (*words(), *known_failures())}
    name = by_lower.get(word.lower())
    if name is None:
        return None
    if (known := known_failures().get(name)) is not None:
        kind = known.failure_class
        told = [f"{name}: a known failure" + (f" of class {kind.value}" if kind else "")]
        told += [f"  what helps   {known.hint}"]
        told += [f"  class        {CLASSES[kind.value]}"] if kind else []
        told += [f"  known by     {known.pattern}"] if known.pattern else []
        return told
    return [f"{name}: {words()[name]}"]
