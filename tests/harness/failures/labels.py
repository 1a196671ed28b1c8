"""What is to be said of each failure that `causes` can bring about: its class, and its name where it has one.

Written down before they were run: a label that is wrong is changed only with its reason.
"""

from __future__ import annotations

from typing import NamedTuple

from llmtrain_api import FailureClass


class Label(NamedTuple):
    """What a failure is; ``cascade``: only the echo of another rank's end."""

    failure_class: FailureClass
    reason: str | None = None
    cascade: bool = False


_CONFIG, _USER, _OUTSIDE = FailureClass.CONFIG_ERROR, FailureClass.USER_ERROR, FailureClass.INFRASTRUCTURE
_MEMORY, _HANG, _UNKNOWN = FailureClass.OUT_OF_MEMORY, FailureClass.HANG, FailureClass.UNKNOWN

LABELS = {
    # memory
    "address_space_is_used_up": Label(_MEMORY, "HostOutOfMemory"),
    "a_tensor_is_too_large": Label(_MEMORY, "HostOutOfMemory"),
    "an_array_is_too_large": Label(_MEMORY, "HostOutOfMemory"),
    # files
    "the_disk_is_full": Label(_CONFIG),
    "a_file_system_is_read_only": Label(_USER, "VolumeReadOnly"),
    "a_folder_is_not_ours": Label(_USER, "PermissionDenied"),
    "a_file_is_missing": Label(_USER, "FileMissing"),
    "storage_answers_with_an_error": Label(_OUTSIDE, "StorageFailed"),
    "too_many_files_are_open": Label(_USER, "TooManyOpenFiles"),
    "no_thread_can_be_started": Label(_USER, "TooManyProcesses"),
    "no_process_can_be_started": Label(_USER, "TooManyProcesses"),
    # what is in files
    "weights_are_cut_short": Label(_CONFIG, "WeightsBroken"),
    "weights_are_a_pickle": Label(_CONFIG, "PickleRefused"),
    "parquet_is_text": Label(_CONFIG, "ParquetBroken"),
    "gzip_is_cut_short": Label(_CONFIG, "ArchiveBroken"),
    "gzip_is_text": Label(_CONFIG, "ArchiveBroken"),
    "zstd_is_text": Label(_CONFIG, "ArchiveBroken"),
    "text_is_latin_1": Label(_CONFIG, "TextNotUtf8"),
    "a_template_has_no_end": Label(_CONFIG, "TemplateWrong"),
    "a_template_names_what_is_not_there": Label(_CONFIG, "TemplateWrong"),
    "json_is_nested_too_deeply": Label(_USER, "TooDeep"),
    # the program
    "a_token_is_beyond_the_vocabulary": Label(_USER, "TokenOutOfVocabulary"),
    "matrices_do_not_fit": Label(_USER, "ShapesDoNotMatch"),
    "tensors_do_not_fit": Label(_USER, "ShapesDoNotMatch"),
    "a_view_does_not_fit": Label(_USER, "ShapesDoNotMatch"),
    "two_precisions_meet": Label(_USER, "PrecisionsDoNotMatch"),
    "weights_of_another_model": Label(_CONFIG, "WeightsDoNotFit"),
    "a_package_is_missing": Label(_CONFIG, "ImportFailed"),
    "a_library_is_missing": Label(_CONFIG, "ImportFailed"),
    "the_image_has_no_code_for_gpus": Label(_CONFIG, "GpuCodeMissing"),
    "a_compiler_gives_up": Label(_USER, "CompileFailed"),
    "a_key_is_missing": Label(_USER),
    "a_value_is_wrong": Label(_USER),
    "an_assertion_fails": Label(_USER),
    "it_leaves_by_itself": Label(_USER),
    # between processes
    "a_port_is_taken": Label(_USER, "PortInUse"),
    "a_name_is_not_known": Label(_OUTSIDE, "NameNotResolved"),
    "nobody_listens": Label(_UNKNOWN, None, cascade=True),
    "a_store_has_no_such_key": Label(_OUTSIDE, "StoreTimeout"),
    "a_rank_does_not_come": Label(_HANG, "CollectiveTimeout"),
    "a_rank_dies": Label(_UNKNOWN, None, cascade=True),
    # servers
    "the_hub_has_no_such_model": Label(_CONFIG, "HubNotFound"),
    "the_hub_wants_a_token": Label(_CONFIG, "HubForbidden"),
    "the_hub_is_off": Label(_CONFIG, "StoreOffline"),
    "a_server_asks_for_fewer_requests": Label(_OUTSIDE, "TooManyRequests"),
    "a_server_is_overloaded": Label(_OUTSIDE, "StoreUnavailable"),
    "a_bucket_refuses": Label(_CONFIG, "BucketForbidden"),
    "there_is_no_such_bucket": Label(_CONFIG, "BucketNotFound"),
    "a_certificate_is_our_own": Label(_CONFIG, "CertificateNotTrusted"),
    "a_proxy_refuses": Label(_USER, "ProxyFailed"),
    # ends that nothing can be said of any more
    "it_is_killed": Label(_UNKNOWN, "Killed"),
    "it_crashes": Label(_UNKNOWN, "Crashed"),
    "a_mapped_file_is_cut_short": Label(_UNKNOWN, "BusError"),
    "it_runs_an_instruction_that_is_none": Label(_UNKNOWN, "InstructionMissing"),
    "it_aborts": Label(_UNKNOWN, "Aborted"),
    "it_divides_by_zero": Label(_UNKNOWN, "ArithmeticFault"),
}
