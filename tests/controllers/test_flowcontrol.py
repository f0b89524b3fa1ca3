"""Built-in flow schemas and priority levels are brought back; every schema says whether its level is there."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.flowcontrol import builtin
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import flowcontrol
from navarch.controllers.flowcontrol import LEVELS, SCHEMAS
from tests.controllers.world import on_bench
from tests.fakeapi import Bench, run

SYSTEM = builtin.LEVELS["system"]
OTHER: Object = {**SYSTEM, "limited": {**SYSTEM["limited"], "lendablePercent": 1}}


def level(name: str, spec: Object, annotation: str = "true", generation: int = 1) -> Object:
    metadata = {"name": name, "annotations": {builtin.AUTO_UPDATE: annotation}, "generation": generation}
    api_version = "flowcontrol.apiserver.k8s.io/v1"
    return {"apiVersion": api_version, "kind": "PriorityLevelConfiguration", "metadata": metadata, "spec": spec}


def schema(name: str, level_name: str) -> Object:
    spec = {"priorityLevelConfiguration": {"name": level_name}, "matchingPrecedence": 1000}
    metadata = {"name": name}
    return {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("present", "annotation", "generation", "mandatory", "expected"),
    [
        (SYSTEM, "true", 1, False, None),
        (SYSTEM, "false", 2, False, None),
        (OTHER, "false", 2, False, None),
        (OTHER, "true", 2, False, (SYSTEM, "true")),
        (OTHER, "", 1, False, (SYSTEM, "true")),
        (OTHER, "perhaps", 2, False, (OTHER, "false")),
        (OTHER, "false", 2, True, (SYSTEM, "true")),
    ],
)
def test_who_changed_a_suggested_one_keeps_it_and_nobody_a_mandatory_one(
    present: Object, annotation: str, generation: int, mandatory: bool, expected: tuple[Object, str] | None
) -> None:
    found = flowcontrol.mended(level("system", present, annotation, generation), SYSTEM, mandatory=mandatory)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found["spec"], found["metadata"]["annotations"][builtin.AUTO_UPDATE]) == expected


def test_the_shares_of_the_exempt_are_an_administrators() -> None:
    chosen = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7, "lendablePercent": 0}}
    assert flowcontrol.mended(level("exempt", chosen), builtin.LEVELS["exempt"], mandatory=True) is None


def on(**levels: Any) -> Any:
    return on_bench(flowcontrol.PRIORITY_LEVELS, flowcontrol.FLOW_SCHEMAS)


def dangling(found: Bench, name: str) -> Object:
    return meta.condition(found.api.one(SCHEMAS, name) or {}, "Dangling") or {}


def test_a_schema_says_whether_its_level_is_there() -> None:
    async def test() -> None:
        async with on() as found:
            found.api.put(schema("mine", "later"))
            await found.until(lambda: dangling(found, "mine").get("status") == "True")
            assert dangling(found, "mine")["reason"] == "NotFound"
            assert dangling(found, "mine")["message"] == (
                'This FlowSchema references the PriorityLevelConfiguration object named "later" but there is no such object'
            )
            found.api.put(level("later", SYSTEM))
            await found.until(lambda: dangling(found, "mine").get("status") == "False")
            assert dangling(found, "mine")["message"] == (
                'This FlowSchema references the PriorityLevelConfiguration object named "later" and it exists'
            )
            found.api.remove(LEVELS, "later")
            await found.until(lambda: dangling(found, "mine").get("status") == "True")

    run(test)


def test_what_is_built_in_comes_back() -> None:
    async def test() -> None:
        async with on() as found:
            found.api.put(level("system", OTHER))
            found.api.put(level("mine", OTHER))
            await found.until(lambda: (found.api.one(LEVELS, "system") or {}).get("spec") == SYSTEM)
            for name in ("system", "mine"):
                found.api.remove(LEVELS, name)
            await found.until(lambda: found.api.one(LEVELS, "system"))
            assert found.api.one(LEVELS, "mine") is None

    run(test)
