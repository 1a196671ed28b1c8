"""What stores, volumes and files say when they cannot be read or written."""

from __future__ import annotations

from ..schema.status import FailureClass
from .known import KnownFailure

_OUTSIDE, _CONFIG, _USER = FailureClass.INFRASTRUCTURE, FailureClass.CONFIG_ERROR, FailureClass.USER_ERROR

STORES = (
    KnownFailure(
        "StoreOffline",
        r"OfflineModeIsEnabled|LocalEntryNotFoundError|outgoing traffic has been disabled",
        "ranks read no hub: name the model or the data in the manifest, which fetches them before",
        _CONFIG,
    ),
    KnownFailure(
        "HubForbidden",
        r"GatedRepo|Access to model .{0,200} is restricted|\b40[13] Client Error.{0,300}(hugging"
        r"|/api/models|/resolve/)"
        r"|Invalid (credentials|username or password).{0,80}Authorization",
        "the hub does not show this repository to you: accept its terms there, and name a Secret with "
        "HF_TOKEN "
        "in model.secret or dataset.secret",
        _CONFIG,
    ),
    KnownFailure(
        "HubNotFound",
        r"RepositoryNotFound|RevisionNotFound|EntryNotFoundError|\b404 Client Error|Client error '404",
        "no such repository, revision or file: correct the name or revision; a private one needs a "
        "Secret with HF_TOKEN",
        _CONFIG,
    ),
    KnownFailure(
        "TooManyRequests",
        r"Too Many Requests|\bSlowDown\b"
        r"|reduce your request rate",
        "the store asks for fewer requests and is tried again; a copy on a volume (pvc://) is not asked for",
        _OUTSIDE,
    ),
    KnownFailure(
        "StoreUnavailable",
        r"\b50[0234] Server Error|Server error '50[0234]|InternalServerError|ServiceUnavailable|\b(Read"
        r"|Connect)TimeoutError"
        r"|IncompleteRead"
        r"|EndpointConnectionError|Max retries exceeded",
        "the store did not answer and is tried again; look at its state and at the NetworkPolicies of "
        "the namespace",
        _OUTSIDE,
    ),
    KnownFailure(
        "BucketForbidden",
        r"\b(AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken"
        r"|NoCredentials\w*)\b|"
        r"Unable to locate credentials|PermissionError: (Forbidden|Access Denied)",
        "the store refuses these credentials: correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
        "Secret "
        "that output.secret, dataset.secret or model.secret names",
        _CONFIG,
    ),
    KnownFailure(
        "BucketNotFound",
        r"\bNoSuchBucket\b|bucket does not exist",
        "create the bucket, or correct its name; a store that is not Amazon's needs AWS_ENDPOINT_URL in "
        "the Secret",
        _CONFIG,
    ),
    KnownFailure(
        "CertificateNotTrusted",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|self[- ]signed certificate",
        "the pod does not know who signed that server's certificate: use an image with your authority, "
        "or name its file in AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE",
        _CONFIG,
    ),
    KnownFailure(
        "ProxyFailed",
        r"ProxyError|Tunnel connection failed|Proxy Authentication Required",
        "the proxy refuses or does not answer: correct HTTPS_PROXY and NO_PROXY",
    ),
)

FILES = (
    KnownFailure(
        "DiskFull",
        r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]",
        "make room on the volume, or use a larger one; checkpoint.keep says how many checkpoints stay",
        _CONFIG,
    ),
    KnownFailure(
        "StorageFailed",
        r"Stale (NFS )?file handle|Input/output error|Transport endpoint is not connected|Remote I/O error"
        r"|Structure needs cleaning|\[Errno (5|107|116|117|121)\]",
        "the volume's storage failed: look at its server and at the node's kernel log",
        _OUTSIDE,
    ),
    KnownFailure(
        "VolumeReadOnly",
        r"Read-only file system|\[Errno 30\]",
        "the volume cannot be written: its storage failed, or its claim is ReadOnlyMany; "
        "output needs ReadWriteOnce, or ReadWriteMany for several nodes",
    ),
    KnownFailure(
        "PermissionDenied",
        r"PermissionError|Permission denied|Operation not permitted|\[Errno (1|13)\]",
        "pods run as user 1000 and group 1000: give that group the folder (chgrp 1000, chmod g+rwX)",
        _USER,
    ),
    KnownFailure(
        "TooManyOpenFiles",
        r"Too many open files|\[Errno 24\]",
        "the node allows a process few open files: raise its limit, or put the data into fewer and "
        "larger files",
    ),
    KnownFailure(
        "TooManyProcesses",
        r"can't start new thread|Resource temporarily unavailable|libgomp: Thread creation failed"
        r"|\[Errno 11\]",
        "the pod may have no more processes: raise the kubelet's podPidsLimit, or lower processesPerNode",
    ),
    KnownFailure(
        "WeightsBroken",
        r"SafetensorError|HeaderTooLarge|MetadataIncompleteBuffer|InvalidHeaderDeserialization",
        "a file of weights is cut short or no safetensors file: copy it again and compare its size",
        _CONFIG,
    ),
    KnownFailure(
        "PickleRefused",
        r"UnpicklingError|Weights only load failed|Unsupported (operand|global)",
        "a file holds Python objects, which are never run: save weights as safetensors",
        _CONFIG,
    ),
    KnownFailure(
        "ParquetBroken",
        r"ArrowInvalid|ArrowTypeError|Parquet magic bytes not found",
        "a parquet file is cut short or is none: copy it again, or take it out of the folder",
        _CONFIG,
    ),
    KnownFailure(
        "ArchiveBroken",
        r"BadGzipFile|zlib\.error|LZMAError|ZstdError|Compressed file ended before the end-of-stream marker",
        "a compressed file is cut short: copy it again, or take it out of the folder",
        _CONFIG,
    ),
    KnownFailure(
        "TextNotUtf8",
        r"UnicodeDecodeError|codec can't decode",
        "a file is not UTF-8: convert it (iconv -t UTF-8), or take it out of the folder",
        _CONFIG,
    ),
    KnownFailure(
        "FileMissing",
        r"FileNotFoundError|No such file or directory|\[Errno 2\]",
        "name a file that is there: kubectl exec into a pod of the gang shows what the volume holds",
        _USER,
    ),
)
