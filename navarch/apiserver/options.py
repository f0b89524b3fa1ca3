"""What a request's options may say (k8s.io/apimachinery/pkg/apis/meta/v1/validation)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from navarch.apimachinery import errors
from navarch.apimachinery.errors import FieldError, Object
from navarch.apiserver.request import APIRequest

MANAGER_LIMIT_BYTES = 128
_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
PROPAGATION_POLICIES = ("Foreground", "Background", "Orphan")
_DURATION_PART = re.compile(r"(?:\d+\.?\d*|\.\d+)([^\d.]*)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_DURATION_UNITS = frozenset(("ns", "us", "µs", "μs", "ms", "s", "m", "h"))


def check_writing(request: APIRequest, *, applies: bool = False) -> None:
    """Of a create, an update or a patch, which perhaps `applies` a configuration. Raises 422."""
    query = request.query
    if not query:
        if applies:
            raise _invalid("PatchOptions", [_required_manager()])
        return
    name = request.option("fieldManager")
    problems = []
    if request.method == "PATCH" and not applies and "force" in query:
        problems.append(errors.forbidden_field("force", "may not be specified for non-apply patch"))
    if applies and not name:
        problems.append(_required_manager())
    if name and not (name.isascii() and name.isprintable() and len(name) <= MANAGER_LIMIT_BYTES):
        problems += _manager_problems(name)
    if "dryRun" in query:
        problems += _dry_run_problems(query["dryRun"])
    mode = request.option("fieldValidation")
    if mode not in FIELD_VALIDATIONS:
        problems.append(errors.not_supported("fieldValidation", mode, FIELD_VALIDATIONS))
    if problems:
        raise _invalid(_KINDS[request.method], problems)


def check_timeout(query: Mapping[str, list[str]]) -> None:
    """Of a request that is answered once. Raises 400 for a ``timeout`` that Go reads as no duration."""
    text = (query.get("timeout") or [""])[0]
    problem = _duration_problem(text) if text else ""
    if problem:
        raise errors.bad_request(f"invalid timeout specified in the request URL - time: {problem} {json.dumps(text)}")


def _duration_problem(text: str) -> str:
    rest = text[1:] if text[0] in "+-" else text
    if rest == "0":
        return ""
    if _DURATION.fullmatch(rest) is None:
        return "invalid duration"
    for unit in _DURATION_PART.findall(rest):
        if unit not in _DURATION_UNITS:
            return f"unknown unit {json.dumps(unit)} in duration" if unit else "missing unit in duration"
    return ""


def check_deleting(options: Object) -> None:
    """Of decoded DeleteOptions. Raises 422."""
    policy = options.get("propagationPolicy")
    problems = []
    if policy is not None and options.get("orphanDependents") is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(errors.invalid_value("propagationPolicy", policy, text))
    if policy is not None and policy not in PROPAGATION_POLICIES:
        problems.append(errors.not_supported("propagationPolicy", policy, (*PROPAGATION_POLICIES, "nil")))
    problems += _dry_run_problems(options.get("dryRun") or ())
    if problems:
        raise _invalid("DeleteOptions", problems)


def _invalid(kind: str, problems: list[FieldError]) -> errors.StatusError:
    return errors.invalid("meta.k8s.io", kind, "", problems)


def _required_manager() -> FieldError:
    return errors.required("fieldManager", "is required for apply patch")


def _manager_problems(name: str) -> Iterable[FieldError]:
    if len(name.encode()) > MANAGER_LIMIT_BYTES:
        yield errors.too_long("fieldManager", MANAGER_LIMIT_BYTES)
    for index, character in enumerate(name):
        if not character.isprintable():
            place = len(name[:index].encode())
            text = f"invalid character U+{ord(character):04X} (at position {place})"
            yield errors.invalid_value("fieldManager", name, text)


def _dry_run_problems(values: Sequence[str]) -> Iterator[FieldError]:
    if any(value != "All" for value in values):
        yield errors.not_supported("dryRun", list(values), ("All",))
