"""What ranks, and the processes that prepare, say when they fail.

The text is the exception as ``Type: message``, or the last lines of a log where a process could not say more.
"""

from __future__ import annotations

from ..schema.status import FailureClass
from .gpus import COLLECTIVES, GPUS
from .known import KnownFailure
from .storage import FILES, STORES

_MEMORY, _CONFIG, _USER = FailureClass.OUT_OF_MEMORY, FailureClass.CONFIG_ERROR, FailureClass.USER_ERROR

PROGRAM = (
    KnownFailure(
        "HostOutOfMemory",
        r"MemoryError|out of memory|cannot allocate memory|can't allocate memory|std::bad_alloc|\[Errno 12\]",
        "lower training.microBatchSize or training.sequenceLength, or raise resources.memory",
        _MEMORY,
    ),
    KnownFailure(
        "CompileFailed",
        r"torch\._dynamo|torch\._inductor|BackendCompilerFailed|InductorError|Failed to find C compiler"
        r"|CppCompileError",
        "set training.compile: false; the image needs gcc or triton to compile",
        _USER,
    ),
    KnownFailure(
        "KernelTooLarge",
        r"out of resource: shared memory|OutOfResources",
        "a compiled kernel does not fit this GPU: set training.compile: false",
        _USER,
    ),
    KnownFailure(
        "WeightsDoNotFit",
        r"Error\(s\) in loading state_dict|size mismatch for \w",
        "the weights are another model's: correct model.name, or its sizes beside it",
        _CONFIG,
    ),
    KnownFailure(
        "TemplateWrong",
        r"Template(Syntax|Runtime|Assertion)?Error|jinja2\.exceptions|UndefinedError",
        "the chat template cannot be used for these dialogues: correct dataset.chatTemplate",
        _CONFIG,
    ),
    KnownFailure(
        "ShapesDoNotMatch",
        r"shapes cannot be multiplied|must match the size of tensor|shape '.{0,80}' is invalid for input",
        "the sizes of the model or batch do not go together: look at the last line of ours in the log tail",
        _USER,
    ),
    KnownFailure(
        "PrecisionsDoNotMatch",
        r"expected scalar type|to have the same dtype|expected m1 and m2",
        "tensors of two precisions met: leave training.precision out, or set fp32",
        _USER,
    ),
    KnownFailure(
        "ImportFailed",
        r"ModuleNotFoundError|ImportError|cannot open shared object file|undefined symbol",
        "the image lacks a package or library: build it from the trainer's, with what is missing",
        _CONFIG,
    ),
    KnownFailure(
        "TooDeep",
        r"RecursionError|maximum recursion depth",
        "something is nested too deeply, such as one row of JSON: look at the file that the message names",
        _USER,
    ),
    KnownFailure(
        "ThreadsAtExit",
        r"terminate called without an active exception",
        "the process ended while threads of it ran, as those of its process group: let the program end with "
        "torch.distributed.destroy_process_group(), and join threads of its own",
        _USER,
    ),
)

PROCESSES = (*GPUS, *COLLECTIVES, *STORES, *PROGRAM, *FILES)
"""From what is special to what is general."""
