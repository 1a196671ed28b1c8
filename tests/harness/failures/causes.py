"""How each failure comes about. A function here runs as a rank's training, in a process that it may ruin."""

from __future__ import annotations

import ctypes
import gzip
import importlib
import json
import mmap
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

USER = 1000


@contextmanager
def _as_user() -> Iterator[None]:
    """Without root's rights, until it has failed: then the rank writes its record."""
    os.setresuid(USER, USER, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def address_space_is_used_up() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
    bytearray(1 << 30)


def a_tensor_is_too_large() -> None:
    import torch

    torch.empty(1 << 50)


def an_array_is_too_large() -> None:
    import numpy as np

    np.zeros(1 << 50)


def the_disk_is_full() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x")


def a_file_system_is_read_only() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, read_only, private = 0x20000, 1, 0x44000
    assert libc.unshare(new_mounts) == 0, os.strerror(ctypes.get_errno())
    libc.mount(b"none", b"/", None, private, None)
    assert libc.mount(b"none", b"/mnt", b"tmpfs", read_only, None) == 0
    Path("/mnt/file").write_text("x")


def a_folder_is_not_ours() -> None:
    with _as_user():
        Path("file").write_text("x")


def a_file_is_missing() -> None:
    Path("no-such-file").read_text()


def storage_answers_with_an_error() -> None:
    with Path("/proc/self/mem").open("rb") as file:
        file.read(1)


def too_many_files_are_open() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    for _ in range(32):
        os.open("/dev/null", os.O_RDONLY)


def no_thread_can_be_started() -> None:
    with _as_user():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        threading.Thread(target=print).start()


def no_process_can_be_started() -> None:
    with _as_user():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        os.fork()


def weights_are_cut_short() -> None:
    import torch
    from safetensors.torch import load_file, save_file

    save_file({"a": torch.zeros(100)}, "model.safetensors")
    whole = Path("model.safetensors").read_bytes()
    Path("model.safetensors").write_bytes(whole[:-50])
    load_file("model.safetensors")


def weights_are_a_pickle() -> None:
    import torch

    torch.save({"a": Path("x")}, "model.bin")
    torch.load("model.bin", weights_only=True)


def parquet_is_text() -> None:
    import pyarrow.parquet as parquet

    Path("rows.parquet").write_text("these are no rows")
    parquet.read_table("rows.parquet")


def gzip_is_cut_short() -> None:
    gzip.decompress(gzip.compress(os.urandom(1000))[:500])


def gzip_is_text() -> None:
    gzip.decompress(b"this is not compressed")


def zstd_is_text() -> None:
    import zstandard

    zstandard.ZstdDecompressor().decompress(b"this is not compressed")


def text_is_latin_1() -> None:
    Path("text.txt").write_bytes("café ".encode("latin-1"))
    Path("text.txt").read_text(encoding="utf-8")


def a_template_has_no_end() -> None:
    from jinja2 import Environment

    Environment().from_string("{% for message in messages %}").render()


def a_template_names_what_is_not_there() -> None:
    from jinja2 import Environment, StrictUndefined

    Environment(undefined=StrictUndefined).from_string("{{ messages[0].role }}").render()


def json_is_nested_too_deeply() -> None:
    json.loads("[" * 100_000)


def a_token_is_beyond_the_vocabulary() -> None:
    import torch

    torch.nn.Embedding(4, 2)(torch.tensor([9]))


def matrices_do_not_fit() -> None:
    import torch

    torch.zeros(2, 3) @ torch.zeros(2, 3)


def tensors_do_not_fit() -> None:
    import torch

    torch.zeros(2) + torch.zeros(3)


def a_view_does_not_fit() -> None:
    import torch

    torch.zeros(6).view(4, 2)


def two_precisions_meet() -> None:
    import torch

    torch.zeros(2, 2) @ torch.zeros(2, 2, dtype=torch.float64)


def weights_of_another_model() -> None:
    import torch

    torch.nn.Linear(2, 2).load_state_dict(torch.nn.Linear(3, 3).state_dict())


def a_package_is_missing() -> None:
    importlib.import_module("no_such_package")


def a_library_is_missing() -> None:
    ctypes.CDLL("libno-such.so.1")


def the_image_has_no_code_for_gpus() -> None:
    import torch

    if torch.version.cuda:  # what such an image says, where this one is another
        raise AssertionError("Torch not compiled with CUDA enabled")
    torch.zeros(1, device="cuda")


def a_compiler_gives_up() -> None:
    import torch

    def backend(*_: Any) -> Callable[..., Any]:
        raise ValueError("no code for this")

    torch.compile(lambda x: x + 1, backend=backend)(torch.zeros(1))


def a_key_is_missing() -> None:
    settings: dict[str, float] = {}
    print(settings["lr"])


def a_value_is_wrong() -> None:
    int("ten")


def an_assertion_fails() -> None:
    raise AssertionError("a batch has 3 rows, not 4")


def it_leaves_by_itself() -> None:
    raise SystemExit(3)


def a_port_is_taken() -> None:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        first.listen()
        second.bind(first.getsockname())


def a_name_is_not_known() -> None:
    socket.create_connection(("no-such-host.invalid", 80))


def nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    socket.create_connection(address)


def a_store_has_no_such_key() -> None:
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, 1, is_master=True, timeout=timedelta(seconds=0.2))
    store.wait(["key"])


def _two_ranks(peer: Callable[[], None]) -> None:
    """Two ranks of which the other does something else than to take part."""
    import torch
    from torch import distributed

    store = distributed.FileStore(str(Path("store").absolute()), 2)
    other = os.fork() == 0
    limit = timedelta(seconds=1)
    distributed.init_process_group("gloo", store=store, rank=int(other), world_size=2, timeout=limit)
    distributed.all_reduce(torch.zeros(1))
    if other:
        peer()
        os._exit(0)
    distributed.all_reduce(torch.zeros(1))


def a_rank_does_not_come() -> None:
    parent = os.getpid()

    def stay() -> None:
        while os.getppid() == parent:
            signal.sigtimedwait([], 0.05)

    _two_ranks(stay)


def a_rank_dies() -> None:
    _two_ranks(lambda: os.kill(os.getpid(), signal.SIGKILL))


def it_is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def it_crashes() -> None:
    ctypes.string_at(0)


def a_mapped_file_is_cut_short() -> None:
    with Path("mapped").open("w+b") as file:
        file.truncate(1 << 20)
        mapped = mmap.mmap(file.fileno(), 1 << 20)
        file.truncate(0)
        print(mapped[1 << 19])


def it_runs_an_instruction_that_is_none() -> None:
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x0f\x0b")  # ud2
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    ctypes.CFUNCTYPE(None)(address)()


def it_aborts() -> None:
    os.abort()


def it_divides_by_zero() -> None:
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x31\xc9\x31\xd2\xf7\xf1\xc3")  # xor ecx,ecx; xor edx,edx; div ecx; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    ctypes.CFUNCTYPE(None)(address)()
