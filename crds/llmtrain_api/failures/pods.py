"""What schedulers and kubelets say of a pod that does not run, or that they ended.

The text is ``Reason: message``, as the pod's status has it.
"""

from __future__ import annotations

from ..schema.status import FailureClass
from .known import KnownFailure

_OUTSIDE, _USER = FailureClass.INFRASTRUCTURE, FailureClass.USER_ERROR

IMAGES = (
    KnownFailure(
        "ImageWrongPlatform",
        r"no match for platform|exec format error",
        "the image is built for another kind of CPU: build it for this one, or choose nodes by nodeSelector",
    ),
    KnownFailure(
        "ImageForbidden",
        r"Image.{0,400}(unauthorized|authentication required|pull access denied|403 Forbidden|no basic auth|"
        r"401 Unauthorized|authorization failed)",
        "the registry wants credentials, or there is no such image: name a Secret in imagePullSecrets, "
        "and look at the spelling",
    ),
    KnownFailure(
        "ImageNotFound",
        r"Image.{0,400}(not found|manifest unknown|does not exist|no such image)|ErrImageNeverPull",
        "there is no such image on the registry or node: correct its name and tag",
    ),
    KnownFailure(
        "RegistryTooManyRequests",
        r"Image.{0,400}(toomanyrequests|429 Too Many|rate limit)",
        "the registry asks for fewer requests; the kubelet tries again. Name a Secret in "
        "imagePullSecrets, or use a mirror",
    ),
    KnownFailure(
        "RegistryNotReached",
        r"Image.{0,400}(no such host|i/o timeout|connection refused|connection reset|x509|TLS handshake"
        r"|server misbehaving)",
        "the node does not reach the registry, or does not trust its certificate: look at its DNS, proxy and "
        "containerd's certificates",
    ),
    KnownFailure("ImageNameWrong", r"InvalidImageName", "the image's name cannot be read: correct it"),
    KnownFailure(
        "ImageNotPulled",
        r"ErrImagePull|ImagePullBackOff|RegistryUnavailable|ImageInspectError",
        "the node cannot pull the image; the kubelet tries again",
    ),
)

CONTAINERS = (
    KnownFailure(
        "SecretMissing",
        r"secrets? \"[^\"]{1,253}\" not found|couldn't find key .{0,253} in Secret",
        "create that Secret in the job's namespace, or correct its name in the manifest",
    ),
    KnownFailure(
        "ConfigMapMissing",
        r"configmaps? \"[^\"]{1,253}\" not found|couldn't find key .{0,253} in ConfigMap",
        "it comes with the next look of the operator; if it does not, something deletes ConfigMaps of "
        "this job",
    ),
    KnownFailure(
        "ImageRunsAsRoot",
        r"runAsNonRoot and image (will run as root|has non-numeric user)",
        "the image's user is root: build it with a numeric USER that is not 0",
    ),
    KnownFailure(
        "CommandMissing",
        r"executable file not found|no such file or directory: unknown",
        "the image has no such command: is it a trainer's image (spec.image)?",
    ),
    KnownFailure(
        "ContainerNotCreated",
        r"CreateContainer(Config)?Error|RunContainerError|ContainerCannotRun|StartError",
        "the node cannot start the container; the message says why",
    ),
    KnownFailure(
        "NetworkNotReady",
        r"FailedCreatePodSandBox|NetworkPluginNotReady|network is not ready",
        "the node's network plugin is not ready: look at its pods on that node",
    ),
    KnownFailure(
        "VolumeInUse",
        r"Multi-Attach error|already (used by|exclusively attached)",
        "the volume hangs on another node: a claim for several nodes must be ReadWriteMany",
    ),
    KnownFailure(
        "VolumeNotMounted",
        r"FailedMount|FailedAttachVolume|MountVolume|Unable to attach or mount volumes",
        "the node cannot mount the volume: look at the storage's driver on that node, and at its server",
    ),
)

SCHEDULING = (
    KnownFailure(
        "ClaimMissing",
        r"persistentvolumeclaim \"[^\"]{1,253}\" not found",
        "create that PersistentVolumeClaim in the job's namespace, or correct the claim in its pvc:// "
        "address",
    ),
    KnownFailure(
        "ClaimNotBound",
        r"unbound (immediate )?PersistentVolumeClaims",
        "the claim has no volume yet: look at it with kubectl describe pvc; a StorageClass must be there",
    ),
    KnownFailure(
        "ClaimOnOtherNodes",
        r"volume node affinity conflict|didn't match PersistentVolume's node affinity",
        "the volume hangs on nodes that these pods may not use: choose those nodes, or another volume",
    ),
    KnownFailure(
        "NotEnoughGpus",
        r"Insufficient (\w[\w.-]{0,200}/)?(gpu|mig-[\w.-]+|neuron\w*|gaudi|tpu)\b",
        "no node has that many GPUs free: lower gpusPerNode, wait for other jobs, or add nodes",
    ),
    KnownFailure(
        "NotEnoughMemory",
        r"Insufficient memory|OutOfmemory",
        "no node has that much memory free: lower resources.memory, or add nodes",
    ),
    KnownFailure(
        "NotEnoughCpu",
        r"Insufficient cpu|OutOfcpu",
        "no node has that many cores free: lower resources.cpu, or add nodes",
    ),
    KnownFailure(
        "NotEnoughDisk",
        r"Insufficient ephemeral-storage|OutOfephemeral-storage",
        "no node has that much disk free: whoever runs the operator sets trainer.scratch.request of its "
        "chart",
    ),
    KnownFailure(
        "NodesFull",
        r"Too many pods|OutOfpods",
        "the nodes run as many pods as they may: add nodes, or raise the kubelet's maxPods",
    ),
    KnownFailure(
        "NodesTainted",
        r"untolerated taint",
        "nodes that have room have a taint: add it to tolerations if the job may run there",
    ),
    KnownFailure(
        "NoNodeMatches",
        r"didn't match Pod's node affinity/selector|NodeAffinity",
        "no node has those labels: correct nodeSelector",
    ),
    KnownFailure(
        "NodesCordoned", r"were unschedulable", "nodes are cordoned: kubectl uncordon, once they are well"
    ),
    KnownFailure(
        "SchedulingGated",
        r"SchedulingGated",
        "something holds the pod back by a scheduling gate: look at which with kubectl get pod -o yaml",
    ),
)

ENDED = (
    KnownFailure(
        "ScratchFull",
        r"(ephemeral local storage usage exceeds|EmptyDir volume .{0,253} exceeds"
        r"|exceeded its local ephemeral storage)",
        "the pod wrote more to its node's disk than it may: whoever runs the operator sets "
        "trainer.scratch.sizeLimit of its chart; /dev/shm is limited by resources.memory",
        _USER,
    ),
    KnownFailure(
        "NodeUnderPressure",
        r"The node was low on resource|node had condition: \[?(Memory|Disk|PID)Pressure",
        "the node ran out of memory or disk and put pods out: raise resources.memory to what the job uses, "
        "so that it is placed where there is room",
        _OUTSIDE,
    ),
    KnownFailure(
        "DeviceNotGiven",
        r"UnexpectedAdmissionError|Allocate failed|requested number of devices unavailable",
        "the node's device plugin did not give the devices: look at it; the pod is placed again",
        _OUTSIDE,
    ),
    KnownFailure(
        "NumaNotAligned",
        r"TopologyAffinityError",
        "the node's topology manager found no fitting place: ask for fewer CPUs or GPUs per pod, or "
        "relax its policy",
        _OUTSIDE,
    ),
    KnownFailure(
        "NodeShutDown",
        r"NodeShutdown|node (is )?shutting down|imminent node shutdown",
        "the node was shut down, as spot nodes are; the gang goes on from its checkpoint elsewhere",
        _OUTSIDE,
    ),
    KnownFailure(
        "Preempted",
        r"Preempt",
        "a pod of higher priority took the place: raise priorityClassName if this job matters more",
        _OUTSIDE,
    ),
    KnownFailure(
        "Drained",
        r"EvictionByEvictionAPI|DeletionByTaintManager|TaintManagerEviction",
        "somebody emptied the node; the gang goes on from its checkpoint elsewhere",
        _OUTSIDE,
    ),
)

PODS = (*IMAGES, *CONTAINERS, *SCHEDULING, *ENDED)
