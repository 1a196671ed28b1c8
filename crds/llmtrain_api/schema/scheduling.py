"""What a job says of its worker pods: where, as whom and how urgently they run, in a pod's own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ..names import GROUP, LABEL_MANAGED_BY, SAFE_TO_EVICT
from .base import ApiModel, Rule, RuledModel, left_open, validations
from .locations import CLAIM as SUBDOMAIN

MAX_PREFIX, MAX_VALUE, MAX_NAME = 253, 63, 253
MAX_KEY = MAX_PREFIX + len("/") + MAX_VALUE
MAX_ENTRIES = 32
MAX_ANNOTATION = 4096
NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
KEY = rf"({SUBDOMAIN}/)?{NAME}"
VALUE = rf"({NAME})?"
RESERVED = (LABEL_MANAGED_BY, SAFE_TO_EVICT)
"""Keys that the operator sets itself, beside all that are its own."""

KEY_FIX = (
    "a key must be NAME or PREFIX/NAME, such as pool or nvidia.com/gpu: the name at most 63 letters, digits, "
    "'-', '_' or '.', the prefix a DNS name"
)
VALUE_FIX = (
    "a value must be at most 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit"
)
RESERVED_FIX = (
    f"remove keys under {GROUP}/, and {' and '.join(RESERVED)}: the operator sets them itself on each pod"
)
NAME_FIX = "use lowercase letters, digits, '-' or '.', beginning and ending with a letter or digit"


class Keeps:
    """Rules over the value of one field: in Python here, and in CEL at the field in the CRD."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def _check(self, value: Any) -> Any:
        for rule in self.rules:
            if message := rule.broken(value):
                raise PydanticCustomError("rule", "{message}", {"message": message, "field": rule.field})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(schema)
        return {**found, "x-kubernetes-validations": validations(self.rules)}


def is_key(key: str) -> bool:
    """Whether a label may have this key."""
    return key.find("/") <= MAX_PREFIX and re.fullmatch(KEY, key) is not None


def _first(found: Iterable[str], describe: Callable[[str], str]) -> str | None:
    return next((describe(one) for one in found), None)


def _odd_value(values: dict[str, str]) -> str | None:
    odd = ((key, value) for key, value in values.items() if not re.fullmatch(VALUE, value))
    return next((f"got {value!r} for {key}; {VALUE_FIX}" for key, value in odd), None)


def _keys(letters: str, fix: str, is_right: Callable[[str], bool]) -> Rule:
    """A rule over each key of a map; `letters` is CEL for a key ``k`` as it is compared."""
    return Rule(
        f"self.all(k, k.indexOf('/') <= {MAX_PREFIX} && {letters}.matches(r'^({KEY})$'))",
        "",
        fix,
        lambda found: _first((k for k in found if not is_right(k)), lambda k: f"got the key {k!r}; {fix}"),
    )


def _is_reserved(key: str) -> bool:
    return key.startswith(f"{GROUP}/") or key in RESERVED


LABEL_KEYS = _keys("k", KEY_FIX, is_key)
# the API server compares the keys of annotations in lower case
ANNOTATION_KEYS = _keys("k.lowerAscii()", KEY_FIX, lambda key: is_key(key.lower()))
LABEL_VALUES = Rule(f"self.all(k, self[k].matches(r'^({VALUE})$'))", "", VALUE_FIX, _odd_value)
NOT_RESERVED = Rule(
    f"self.all(k, !k.startsWith('{GROUP}/') && !(k in {list(RESERVED)}))",
    "",
    RESERVED_FIX,
    lambda found: _first(filter(_is_reserved, found), lambda k: f"the operator sets {k} itself; remove it"),
)
LabelValue = Annotated[str, Field(max_length=MAX_VALUE)]
Selector = Annotated[dict[str, LabelValue], Field(max_length=MAX_ENTRIES), Keeps(LABEL_KEYS, LABEL_VALUES)]
Labels = Annotated[
    dict[str, LabelValue], Field(max_length=MAX_ENTRIES), Keeps(LABEL_KEYS, LABEL_VALUES, NOT_RESERVED)
]
Annotations = Annotated[
    dict[str, Annotated[str, Field(max_length=MAX_ANNOTATION)]],
    Field(max_length=MAX_ENTRIES),
    Keeps(ANNOTATION_KEYS, NOT_RESERVED),
]
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME),
    Keeps(
        Rule(
            f"self.matches(r'^({SUBDOMAIN})$')",
            "",
            NAME_FIX,
            lambda name: None if re.fullmatch(SUBDOMAIN, name) else f"got {name!r}; {NAME_FIX}",
        )
    ),
]
"""The name of a Secret, ServiceAccount or PriorityClass."""
CONTROLLER_FIX = "name the controller as DOMAIN/NAME, such as kueue.x-k8s.io/multikueue, or leave it out"
ControllerName = Annotated[
    str,
    Field(max_length=MAX_KEY),
    Keeps(
        Rule(
            f"self.matches(r'^{SUBDOMAIN}/{NAME}$')",
            "",
            CONTROLLER_FIX,
            lambda name: (
                None if re.fullmatch(f"{SUBDOMAIN}/{NAME}", name) else f"got {name!r}; {CONTROLLER_FIX}"
            ),
        )
    ),
]
"""Who runs a job."""
RESOURCE = rf"{SUBDOMAIN}/{NAME}"
RESOURCE_FIX = (
    "use the name under which nodes offer it, PREFIX/NAME, such as nvidia.com/gpu or rdma/hca: a DNS name, "
    "then at most 63 letters, digits, '-', '_' or '.'"
)


def _resource_mistake(name: str) -> str | None:
    known = re.fullmatch(RESOURCE, name) and not _is_native(name)
    return None if known else f"got {name!r}; {RESOURCE_FIX}"


def _is_native(name: str) -> bool:
    """Whether Kubernetes takes the name for one of its own, or for a quota's."""
    prefix = name.partition("/")[0]
    return prefix == "kubernetes.io" or prefix.endswith(".kubernetes.io") or name.startswith("requests.")


ExtendedResource = Annotated[
    str,
    Field(max_length=MAX_KEY),
    Keeps(
        Rule(
            f"self.matches(r'^({RESOURCE})$') && "
            "!self.matches(r'^(([^/]*[.])?kubernetes[.]io/|requests[.])')",
            "",
            RESOURCE_FIX,
            _resource_mistake,
        )
    ),
]
"""The name of a device that nodes offer."""


class TolerationOperator(StrEnum):
    """How a toleration compares its value with the taint's."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


def _exists_with_value(found: Toleration) -> str | None:
    if found.operator is TolerationOperator.EXISTS and found.value:
        return f"got {found.value!r} with operator Exists; remove value, or use operator Equal"
    return None


class Toleration(RuledModel):
    """A taint that does not keep the worker pods away from a node."""

    key: str | None = Field(
        default=None,
        max_length=MAX_KEY,
        description="Key of the taint, such as nvidia.com/gpu. Default: every taint, with operator Exists.",
    )
    operator: TolerationOperator = Field(
        default=TolerationOperator.EQUAL,
        description="Exists tolerates every value of the key, Equal only the one in value.",
    )
    value: str | None = Field(
        default=None, max_length=MAX_VALUE, description="Value of the taint, for operator Equal."
    )
    effect: TaintEffect | None = Field(
        default=None, description="Effect of the taint that is tolerated. Default: all effects."
    )
    toleration_seconds: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Seconds that a pod stays on a node with such a taint, for effect NoExecute. Default: "
        "for ever.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"!has(self.key) || self.key == '' || (self.key.indexOf('/') <= {MAX_PREFIX} && "
            f"self.key.matches(r'^({KEY})$'))",
            ".key",
            KEY_FIX,
            lambda found: None if not found.key or is_key(found.key) else f"got {found.key!r}; {KEY_FIX}",
        ),
        Rule(
            "(has(self.key) && self.key != '') || self.operator == 'Exists'",
            ".key",
            "set key, or use operator: Exists to tolerate every taint",
            lambda found: (
                None
                if found.key or found.operator is TolerationOperator.EXISTS
                else "is missing; set it, or use operator: Exists to tolerate every taint"
            ),
        ),
        Rule(
            "self.operator != 'Exists' || !has(self.value) || self.value == ''",
            ".value",
            "operator Exists compares no value; remove value, or use operator Equal",
            _exists_with_value,
        ),
        Rule(
            f"!has(self.value) || self.value.matches(r'^({VALUE})$')",
            ".value",
            VALUE_FIX,
            lambda found: (
                None if re.fullmatch(VALUE, found.value or "") else f"got {found.value!r}; {VALUE_FIX}"
            ),
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            ".tolerationSeconds",
            "tolerationSeconds is for effect NoExecute; set effect: NoExecute, or remove it",
            lambda found: (
                None
                if found.toleration_seconds is None or found.effect is TaintEffect.NO_EXECUTE
                else f"got {found.toleration_seconds} without effect NoExecute; set it, or remove this"
            ),
        ),
    )


class PullSecret(ApiModel):
    """A Secret with the credentials of a registry."""

    name: ObjectName = Field(description="Name of the Secret, in the job's namespace.")


class WorkerDefaults(ApiModel):
    """What an installation may say for the worker pods of every job."""

    node_selector: Selector = Field(
        default_factory=dict,
        description="Labels that a node must have to run a worker pod. The installation's are added; the "
        "job's value wins per key.",
    )
    tolerations: list[Toleration] = Field(
        default_factory=list,
        max_length=MAX_ENTRIES,
        description="Taints that do not keep the worker pods away from a node. The installation's are added.",
    )
    image_pull_secrets: list[PullSecret] = Field(
        default_factory=list,
        max_length=MAX_ENTRIES,
        description="Secrets with the credentials of the registry that has the image. The installation's are "
        "added.",
    )
    priority_class_name: ObjectName | None = Field(
        default=None,
        description="PriorityClass of the worker pods. Default: the installation's, or the cluster's.",
    )
    annotations: Annotations = Field(
        default_factory=dict,
        description="Annotations of the worker pods. The installation's are added; the job's value wins per "
        "key.",
    )


class WorkerPodSpec(WorkerDefaults):
    """What a job may say of its worker pods."""

    service_account_name: ObjectName | None = Field(
        default=None,
        description="ServiceAccount of the worker pods, such as one with an identity of the cloud. They get "
        "no API token of it. Default: the namespace's default.",
    )
    labels: Labels = Field(default_factory=dict, description="Labels of the worker pods.")
    host_network: bool = Field(
        default=False,
        json_schema_extra=left_open,
        description="Let the worker pods use their node's network, for fabrics that have no other way. The "
        "installation must allow it (trainer.allow). One such pod fits on a node, and NetworkPolicies do "
        "not hold for it: whoever reaches the node reaches its ranks. Default: false.",
    )
