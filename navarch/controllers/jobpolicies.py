"""What a Job's podFailurePolicy makes of a failed pod, and when its successPolicy is met. Pure."""

from __future__ import annotations

from collections.abc import Set

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import jobindexes


def failure_action(job: Object, pod: Object) -> tuple[str, str]:
    """(action, message) of the first rule of the pod failure policy that matches; ("Count", "") if none does."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        where = f"matching {rule['action']} rule at index {number}"
        found = _exit_code_match(rule.get("onExitCodes"), pod)
        if found is not None:
            name, code = found
            return rule["action"], f"Container {name} for pod {meta.key(pod)} failed with exit code {code} {where}"
        patterns = {(item["type"], item.get("status", "True")) for item in rule.get("onPodConditions") or ()}
        for condition in (pod.get("status") or meta.EMPTY).get("conditions") or ():
            if (condition["type"], condition.get("status")) in patterns:
                return rule["action"], f"Pod {meta.key(pod)} has condition {condition['type']} {where}"
    return "Count", ""


def _exit_code_match(requirement: Object | None, pod: Object) -> tuple[str, int] | None:
    if requirement is None:
        return None
    status = pod.get("status") or meta.EMPTY
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        code = meta.get_path(container, "state", "terminated", "exitCode")
        if not code or requirement.get("containerName") not in (None, container["name"]):
            continue
        if (code in requirement["values"]) == (requirement["operator"] == "In"):
            return container["name"], code
    return None


def success_rule(job: Object, done: Set[int]) -> int | None:
    """The number of the first rule of the success policy that the completed indexes meet."""
    completions = job["spec"]["completions"]
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        needed = rule.get("succeededCount")
        counted = len(done)
        if rule.get("succeededIndexes") is not None:
            wanted = jobindexes.parse(rule["succeededIndexes"], completions)
            counted = len(done & wanted)
            needed = len(wanted) if needed is None else min(needed, len(wanted))
        if needed and counted >= needed:
            return number
    return None
