"""How known failures are told: by PyTorch, NCCL and drivers, which no CPU can make fail, and by clusters."""

# what others print is not broken into lines
# ruff: noqa: E501

from __future__ import annotations

PROCESSES = {
    "GpuMemoryFaulty": (
        "AcceleratorError: CUDA error: uncorrectable ECC error encountered",
        "NVRM: Xid (PCI:0000:3b:00): 94, pid=1234, name=python3, Contained: SM (0x1)",
    ),
    "GpuLost": (
        "RuntimeError: CUDA error: device is lost",
        "Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost. Reboot the system to recover",
        "NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.",
    ),
    "GpuOutOfMemory": (
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB",
        "RuntimeError: CUDA error: out of memory",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "OutOfMemoryError: HIP out of memory. Tried to allocate 20.00 MiB",
    ),
    "GpuLibraryDidNotStart": (
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    ),
    "TokenOutOfVocabulary": (
        "AcceleratorError: CUDA error: device-side assert triggered",
        "indexSelectLargeIndex: block: [12,0,0], thread: [0,0,0] indexSelectSmallIndex: Assertion `srcIndex < "
        "srcSelectDimSize` failed.",
        "IndexError: index out of range in self",
    ),
    "GpuIllegalAccess": (
        "RuntimeError: CUDA error: an illegal memory access was encountered",
        "RuntimeError: CUDA error: unspecified launch failure",
        "RuntimeError: CUDA error: misaligned address",
    ),
    "GpuCodeMissing": (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "AssertionError: Torch not compiled with CUDA enabled",
        "NVIDIA H200 with CUDA capability sm_90 is not compatible with the current PyTorch installation.",
    ),
    "GpuDriverTooOld": (
        "RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
    ),
    "GpuDriverMismatch": ("Failed to initialize NVML: Driver/library version mismatch",),
    "GpuBusy": ("RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable",),
    "GpuMissing": (
        "RuntimeError: No CUDA GPUs are available",
        "RuntimeError: Found no NVIDIA driver on your system.",
        "RuntimeError: CUDA error: no CUDA-capable device is detected",
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
    ),
    "PrecisionNotOnGpu": (
        "RuntimeError: FlashAttention only supports Ampere GPUs or newer.",
        "ValueError: Your setup doesn't support bf16/gpu: bf16 is not supported",
    ),
    "TwoRanksOnOneGpu": (
        "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3384, invalid usage, NCCL version 2.27.3 "
        "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 3b000",
    ),
    "CollectiveTimeout": (
        "[rank3]:[E] [PG ID 0 PG GUID 0 Rank 3] Watchdog caught collective operation timeout: "
        "WorkNCCL(SeqNum=1234, OpType=ALLREDUCE, NumelIn=1, Timeout(ms)=600000) ran for 600010 milliseconds",
        "RuntimeError: [../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv "
        "operation to complete",
    ),
    "SharedMemoryFull": (
        "DistBackendError: NCCL error: unhandled system error. Error while creating shared memory segment "
        "/dev/shm/nccl-abcdef (size 9637888)",
        "RuntimeError: unable to mmap 134217728 bytes from file </torch_12_34>: Cannot allocate memory (12): "
        "unable to allocate shared memory(shm)",
        "DataLoader worker is killed. It is possible that insufficient shared memory (shm) is the cause",
    ),
    "RdmaFailed": (
        "DistBackendError: NCCL error: remote error: Call to ibv_modify_qp failed with error No data available",
        "NET/IB : Got completion from peer 10.0.0.7<38022> with status=IBV_WC_RETRY_EXC_ERR(12)",
    ),
    "NoNetworkInterface": (
        "DistBackendError: NCCL error: Bootstrap : no socket interface found",
        "RuntimeError: [enforce fail at ../gloo/transport/tcp/device.cc:84] ifa != nullptr. Unable to find "
        "address for: eth7",
    ),
    "NcclMixedVersions": ("RuntimeError: NCCL library version mismatch: 2.27.3 and 2.26.2",),
    "NcclSystemError": (
        "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled system error (run with "
        "NCCL_DEBUG=INFO for details), NCCL version 2.27.3 ncclSystemError: System call or external library "
        "call failed or device error.",
    ),
    "NcclGpuError": (
        "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled cuda error, NCCL version 2.27.3",
        "ncclInternalError: Internal check failed.",
    ),
    "NameNotResolved": (
        "gaierror: [Errno -3] Temporary failure in name resolution",
        "RuntimeError: [enforce fail] Unable to resolve hostname to a (local) address",
    ),
    "PortInUse": ("DistNetworkError: The server socket has failed to listen on any local network address. "
                  "port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use",),
    "StoreTimeout": (
        "DistStoreError: wait timeout after 300000ms, keys: /default_pg/0//cpu//0/rank_1",
        "DistNetworkError: The client socket has timed out after 600000ms while trying to connect to (a, 1).",
        "DistStoreError: Timed out after 901 seconds waiting for clients. 1/2 clients joined.",
    ),
    "StoreOffline": ("OfflineModeIsEnabled: Cannot reach https://hub/api/models/a/b: offline mode is enabled.",),
    "HubForbidden": (
        "GatedRepoError: 401 Client Error. (Request ID: Root=1) Cannot access gated repo for url",
        "HfHubHTTPError: 403 Client Error. (Request ID: Root=1) Forbidden for url: https://hub/a/resolve/main/x",
    ),
    "HubNotFound": ("RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1) Repository Not Found",),
    "TooManyRequests": ("ClientError: An error occurred (SlowDown) when calling the PutObject operation: "
                        "Please reduce your request rate.",),
    "StoreUnavailable": (
        "HTTPError: 503 Server Error: Service Unavailable for url: http://hub",
        "ConnectionError: HTTPSConnectionPool(host='hub', port=443): Max retries exceeded with url: /a",
        "EndpointConnectionError: Could not connect to the endpoint URL: \"http://store/bucket\"",
    ),
    "BucketForbidden": (
        "ClientError: An error occurred (InvalidAccessKeyId) when calling the ListObjectsV2 operation",
        "NoCredentialsError: Unable to locate credentials",
        "ClientError: An error occurred (ExpiredToken) when calling the GetObject operation",
    ),
    "BucketNotFound": ("ClientError: An error occurred (NoSuchBucket) when calling the GetObject operation",),
    "CertificateNotTrusted": (
        "SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed",
    ),
    "ProxyFailed": ("OSError: Tunnel connection failed: 407 Proxy Authentication Required",),
    "HostOutOfMemory": (
        "MemoryError: ",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "OSError: [Errno 12] Cannot allocate memory",
    ),
    "CompileFailed": (
        "InductorError: CppCompileError: C++ compile error",
        "InvalidCxxCompiler: torch._inductor.exc.InvalidCxxCompiler: No working C++ compiler found",
    ),
    "ThreadsAtExit": (
        "terminate called without an active exception\nFatal Python error: Aborted\n\nThread 0x00007f90a164db80 (most recent call first):\n  <no Python frame>",
    ),
    "KernelTooLarge": (
        "OutOfResources: out of resource: shared memory, Required: 262144, Hardware limit: 232448.",
    ),
    "WeightsDoNotFit": (
        "RuntimeError: Error(s) in loading state_dict for Linear: size mismatch for weight: copying a param",
    ),
    "TemplateWrong": ("TemplateSyntaxError: Unexpected end of template.",),
    "ShapesDoNotMatch": ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",),
    "PrecisionsDoNotMatch": ("RuntimeError: expected scalar type Float but found BFloat16",),
    "ImportFailed": ("ModuleNotFoundError: No module named 'flash_attn'",),
    "TooDeep": ("RecursionError: maximum recursion depth exceeded while decoding a JSON array",),
    "DiskFull": ("OSError: [Errno 122] Disk quota exceeded: '/output/x'",),
    "StorageFailed": (
        "OSError: [Errno 116] Stale file handle: '/output/checkpoints'",
        "OSError: [Errno 107] Transport endpoint is not connected: '/output'",
    ),
    "VolumeReadOnly": ("OSError: [Errno 30] Read-only file system: '/output/x'",),
    "PermissionDenied": ("PermissionError: [Errno 13] Permission denied: '/output/x'",),
    "TooManyOpenFiles": ("OSError: [Errno 24] Too many open files",),
    "TooManyProcesses": (
        "RuntimeError: can't start new thread",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
    ),
    "WeightsBroken": ("SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",),
    "PickleRefused": ("UnpicklingError: Weights only load failed.",),
    "ParquetBroken": ("ArrowInvalid: Parquet magic bytes not found in footer.",),
    "ArchiveBroken": ("EOFError: Compressed file ended before the end-of-stream marker was reached",),
    "TextNotUtf8": ("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 3",),
    "FileMissing": ("FileNotFoundError: [Errno 2] No such file or directory: 'data'",),
}  # fmt: skip

PODS = {
    "ImageForbidden": (
        "ErrImagePull: failed to pull and unpack image \"docker.io/a/b:1\": failed to resolve reference: pull "
        "access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed",
        'ImagePullBackOff: Back-off pulling image "reg/a:1": ErrImagePull: 401 Unauthorized',
    ),
    "ImageNotFound": (
        'ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "reg/a:2": reg/a:2: '
        "not found",
        "ErrImageNeverPull: Container image \"a:1\" is not present with pull policy of Never",
    ),
    "ImageWrongPlatform": (
        'ErrImagePull: failed to pull image "a:1": no match for platform in manifest: not found',
        "StartError: exec /usr/bin/python3: exec format error",
    ),
    "RegistryTooManyRequests": (
        "ErrImagePull: failed to pull image: toomanyrequests: You have reached your pull rate limit.",
    ),
    "RegistryNotReached": (
        'ErrImagePull: failed to pull image "reg/a:1": dial tcp: lookup reg: no such host',
        'ErrImagePull: failed to pull image "reg/a:1": tls: failed to verify certificate: x509: certificate '
        "signed by unknown authority",
    ),
    "ImageNameWrong": ('InvalidImageName: Failed to apply default image tag "A:B:C": invalid reference format',),
    "ImageNotPulled": ('ImagePullBackOff: Back-off pulling image "reg/a:1"',),
    "SecretMissing": (
        'CreateContainerConfigError: secret "hub" not found',
        'FailedMount: MountVolume.SetUp failed for volume "x" : secret "hub" not found',
    ),
    "ConfigMapMissing": ('FailedMount: MountVolume.SetUp failed for volume "job" : configmap "a" not found',),
    "ImageRunsAsRoot": (
        "CreateContainerConfigError: container has runAsNonRoot and image will run as root (pod: \"a_b(c)\")",
    ),
    "CommandMissing": (
        'StartError: failed to create containerd task: exec: "llmtrain": executable file not found in $PATH',
    ),
    "ContainerNotCreated": ("CreateContainerError: context deadline exceeded",),
    "NetworkNotReady": ("FailedCreatePodSandBox: Failed to create pod sandbox: plugin type=\"calico\" failed",),
    "VolumeInUse": (
        'FailedAttachVolume: Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) b',
    ),
    "VolumeNotMounted": ("FailedMount: Unable to attach or mount volumes: timed out waiting",),
    "ClaimMissing": ('Unschedulable: persistentvolumeclaim "data" not found',),
    "ClaimNotBound": ("Unschedulable: pod has unbound immediate PersistentVolumeClaims",),
    "ClaimOnOtherNodes": ("Unschedulable: 0/3 nodes are available: 3 node(s) had volume node affinity conflict",),
    "NotEnoughGpus": (
        "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu. no new claims to deallocate",
        "OutOfnvidia.com/gpu: Node didn't have enough resource: Insufficient amd.com/gpu",
    ),
    "NotEnoughMemory": ("Unschedulable: 0/2 nodes are available: 2 Insufficient memory.",),
    "NotEnoughCpu": ("Unschedulable: 0/2 nodes are available: 2 Insufficient cpu.",),
    "NotEnoughDisk": ("Unschedulable: 0/2 nodes are available: 2 Insufficient ephemeral-storage.",),
    "NodesFull": ("Unschedulable: 0/2 nodes are available: 2 Too many pods.",),
    "NodesTainted": (
        "Unschedulable: 0/2 nodes are available: 2 node(s) had untolerated taint {gpu: present}.",
    ),
    "NoNodeMatches": (
        "Unschedulable: 0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    ),
    "NodesCordoned": ("Unschedulable: 0/2 nodes are available: 2 node(s) were unschedulable.",),
    "SchedulingGated": ("SchedulingGated: Scheduling is blocked due to non-empty scheduling gates",),
    "ScratchFull": (
        "Evicted: Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
        'Evicted: Usage of EmptyDir volume "scratch" exceeds the limit "1Gi".',
    ),
    "NodeUnderPressure": (
        "Evicted: The node was low on resource: memory. Threshold quantity: 100Mi, available: 20Mi.",
        "Evicted: The node had condition: [DiskPressure].",
    ),
    "DeviceNotGiven": (
        "UnexpectedAdmissionError: Allocate failed due to no healthy devices present; cannot allocate",
    ),
    "NumaNotAligned": ("TopologyAffinityError: Resources cannot be allocated with Topology locality",),
    "NodeShutDown": ("Terminated: Pod was terminated in response to imminent node shutdown.",),
    "Preempted": ("PreemptionByScheduler: default-scheduler: preempting to accommodate a higher priority pod",),
    "Drained": ("EvictionByEvictionAPI: Eviction API: evicting",),
}  # fmt: skip
"""``Reason: message``, as a pod's status has them."""
