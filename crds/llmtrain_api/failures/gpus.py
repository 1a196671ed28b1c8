"""What GPUs, and the libraries that move tensors between ranks, say when they fail."""

from __future__ import annotations

from ..schema.status import FailureClass
from .known import KnownFailure

_MEMORY, _OUTSIDE = FailureClass.OUT_OF_MEMORY, FailureClass.INFRASTRUCTURE
_CONFIG, _USER, _HANG = FailureClass.CONFIG_ERROR, FailureClass.USER_ERROR, FailureClass.HANG

GPUS = (
    KnownFailure(
        "GpuMemoryFaulty",
        r"uncorrectable ECC|\bXid\b.{0,80}\b(48|63|64|94|95)\b",
        "the GPU's memory is faulty: keep pods away from that node (kubectl cordon) and have the GPU "
        "reset or replaced",
        _OUTSIDE,
    ),
    KnownFailure(
        "GpuLost",
        r"GPU is lost|fallen off the bus|device is lost|\bXid\b.{0,80}\b79\b"
        r"|unable to determine the device handle",
        "the node lost a GPU: keep pods away from it (kubectl cordon) and have the node rebooted",
        _OUTSIDE,
    ),
    KnownFailure(
        "GpuOutOfMemory",
        r"(CUDA|HIP)( error)?: out of memory|(CUDA|HIP) out of memory|torch\.(cuda\.)?OutOfMemoryError"
        r"|^OutOfMemoryError|CU(BLAS|DNN)_STATUS_ALLOC_FAILED",
        "lower training.microBatchSize or training.sequenceLength, set training.activationCheckpointing, "
        "raise training.zeroStage, or say in resources.gpuMemory what the GPU has",
        _MEMORY,
    ),
    KnownFailure(
        "GpuLibraryDidNotStart",
        r"CUBLAS_STATUS_NOT_INITIALIZED|CUDNN_STATUS_NOT_INITIALIZED",
        "most often the GPU's memory is full: lower training.microBatchSize; "
        "else another process uses this GPU",
    ),
    KnownFailure(
        "TokenOutOfVocabulary",
        r"device-side assert triggered|\bindexSelect\w*: Assertion|IndexError: index out of range in self",
        "an index is out of range, most often a token id beyond the model's vocabulary: "
        "use the tokenizer that belongs to the model",
        _USER,
    ),
    KnownFailure(
        "GpuIllegalAccess",
        r"an illegal memory access was encountered|unspecified launch failure|misaligned address"
        r"|an illegal instruction was encountered",
        "a kernel went wrong: run with training.compile: false; if the same node does it again, it is "
        "its GPU",
    ),
    KnownFailure(
        "GpuCodeMissing",
        r"no kernel image is available for execution|Torch not compiled with CUDA"
        r"|is not compatible with the current PyTorch installation",
        "the image's PyTorch is not built for this GPU: choose another image, or other GPUs by nodeSelector",
        _CONFIG,
    ),
    KnownFailure(
        "GpuDriverTooOld",
        r"driver version is insufficient|NVIDIA driver on your system is too old",
        "the node's driver is older than the image's CUDA: have it updated, or choose an older image",
        _OUTSIDE,
    ),
    KnownFailure(
        "GpuDriverMismatch",
        r"Driver/library version mismatch",
        "the node's driver was updated without a reboot: keep pods away from it until it is rebooted",
        _OUTSIDE,
    ),
    KnownFailure(
        "GpuBusy",
        r"device\(s\) is/are busy or unavailable|\ball CUDA-capable devices are busy",
        "another process holds the GPU: look at the node for one that did not end",
        _OUTSIDE,
    ),
    KnownFailure(
        "GpuMissing",
        r"no CUDA-capable device is detected|Found no NVIDIA driver|No CUDA GPUs are available"
        r"|libcuda\.so[.\d]*: cannot open",
        "the pod sees no GPU: look at the node's device plugin and container runtime, "
        "or set gpusPerNode: 0 to train on CPUs",
        _OUTSIDE,
    ),
    KnownFailure(
        "PrecisionNotOnGpu",
        r"bf16 is not supported|FlashAttention only supports Ampere|not support(ed)? (bf16|bfloat16)",
        "this GPU has no bfloat16: set training.precision: fp16 or fp32",
        _CONFIG,
    ),
)

COLLECTIVES = (
    KnownFailure(
        "TwoRanksOnOneGpu",
        r"Duplicate GPU detected",
        "ask for as many GPUs as processes: leave processesPerNode out, or set it to gpusPerNode",
        _CONFIG,
    ),
    KnownFailure(
        "CollectiveTimeout",
        r"Watchdog caught collective operation timeout|Timed out waiting \d+ ?ms for (recv|send)"
        r"|collective operation.{0,80}timed out|ProcessGroupNCCL.{0,80}timeout",
        "a rank did not come to an operation that all take part in: "
        "look at what the others' logs say last (logs/attempt-K in the output)",
        _HANG,
    ),
    KnownFailure(
        "SharedMemoryFull",
        r"error while creating shared memory|unable to (open|write to|mmap|allocate) shared memory"
        r"|/dev/shm.{0,80}No space"
        r"|No space.{0,80}/dev/shm|insufficient shared memory",
        "the pod's shared memory is part of resources.memory: raise that",
        _MEMORY,
    ),
    KnownFailure(
        "RdmaFailed",
        r"\bibv_\w+|IBV_WC_\w+|NET/IB.{0,80}(error|failed|timeout)|Got completion from peer",
        "an InfiniBand or RoCE link failed: look at the nodes' adapters and switches",
        _OUTSIDE,
    ),
    KnownFailure(
        "NoNetworkInterface",
        r"no socket interface found|Unable to find address for|GLOO_SOCKET_IFNAME",
        "the network interface that ranks should talk over is not in the pod: correct NCCL_SOCKET_IFNAME or "
        "GLOO_SOCKET_IFNAME, or leave it out",
        _CONFIG,
    ),
    KnownFailure(
        "NcclMixedVersions",
        r"NCCL.{0,40}version mismatch|mismatched? NCCL version",
        "all pods must run the same image: use one that is named by its digest",
        _CONFIG,
    ),
    KnownFailure(
        "NcclSystemError",
        r"ncclSystemError|NCCL.{0,40}unhandled system error",
        "a call of the system failed under NCCL, most often on the network between the nodes: "
        "look at the node's kernel log and the pods' NetworkPolicies",
        _OUTSIDE,
    ),
    KnownFailure(
        "NcclGpuError",
        r"ncclUnhandledCudaError|NCCL.{0,40}unhandled cuda error|ncclInternalError",
        "a GPU failed under NCCL: look at the node's kernel log for Xid; "
        "if the same node does it again, keep pods away from it",
    ),
    KnownFailure(
        "NameNotResolved",
        r"Temporary failure in name resolution|Name or service not known|Unable to resolve hostname|"
        r"No address associated with hostname|Could not resolve host|NameResolutionError",
        "a name was not found: look at the cluster's DNS, and at the NetworkPolicies of the namespace",
        _OUTSIDE,
    ),
    KnownFailure(
        "PortInUse",
        r"EADDRINUSE|Address already in use",
        "another process of that node or pod listens there: with sidecars, change their port",
    ),
    KnownFailure(
        "StoreTimeout",
        r"wait timeout after \d+ ?ms, keys|Socket Timeout|client socket has (timed out|failed)"
        r"|timed out after \d+ seconds waiting for clients",
        "ranks did not meet in time: see why the pods of the other nodes do not run, or do not reach node 0",
        _OUTSIDE,
    ),
)
