"""The part of jq that Stages use, held against what jq itself says where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.simulation.stages import jq
from navarch.simulation.stages.jq import JQError

POD = {
    "metadata": {"labels": {"app": "web", "a.b/c": "x"}, "annotations": {"delay": "5s"}, "finalizers": ["one", "two"]},
    "spec": {"restartPolicy": "Always", "containers": [{"name": "a", "ports": [1, 2]}, {"name": "b"}], "priority": 7},
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "False"}],
        "containerStatuses": [{"ready": True, "restartCount": 0, "state": {"running": {"startedAt": "now"}}}, {"ready": False}],
    },
}
# Program, and what it yields of POD; None: it ends with an error.
PROGRAMS: list[tuple[str, list[Any] | None]] = [
    (".status.phase", ["Running"]),
    (".metadata.deletionTimestamp", [None]),
    (".nothing.at.all", [None]),
    ('.metadata.labels["a.b/c"]', ["x"]),
    ('.metadata.labels."a.b/c"', ["x"]),
    ('."metadata" | .annotations.delay', ["5s"]),
    (".spec.containers[].name", ["a", "b"]),
    (".spec.containers[0].ports[-1]", [2]),
    (".spec.containers[7].name", [None]),
    ('.status.conditions[] | select(.type == "Ready") | .status', ["True"]),
    ('.status.conditions[] | select(.type == "Ready" and .status != "True")', []),
    (".status.containerStatuses[].state.running.startedAt", ["now", None]),
    (".status.initContainerStatuses[].state", None),
    (".status.initContainerStatuses[]?.state", []),
    (".status.phase.x", None),
    (".status.phase.x?", []),
    ('.metadata.annotations.none // .metadata.annotations.delay // "1s"', ["5s"]),
    ('.metadata.annotations.none // .metadata.annotations.nor // "1s"', ["1s"]),
    (".status.phase, .spec.restartPolicy", ["Running", "Always"]),
    (".spec.priority > 5 and .spec.priority <= 7", [True]),
    (".spec.priority * 2 + 1 - 5 % 3", [13]),
    ("(.spec.priority + 1) / 2", [4]),
    ("-.spec.priority", [-7]),
    ('.status.phase == "Running" or .nothing', [True]),
    (".status.containerStatuses | map(.ready)", [[True, False]]),
    (".status.containerStatuses | all(.ready)", [False]),
    (".status.containerStatuses | any(.ready)", [True]),
    (".spec.containers | length", [2]),
    (".spec | keys", [["containers", "priority", "restartPolicy"]]),
    ('.metadata | has("labels")', [True]),
    ('.metadata.finalizers | first, last', ["one", "two"]),
    ('.metadata.annotations.delay | startswith("5"), endswith("m")', [True, False]),
    (".spec.priority | tostring | tonumber", [7]),
    ('.spec.containers[1].ports | not', [True]),
    ("empty", []),
    ("null < false, 1 < \"a\", .metadata.finalizers < .metadata.labels", [True, True, True]),
    ('"a\\n\\u00e9\\""', ['a\né"']),
    (".metadata.labels | type", ["object"]),
    (".spec.containers[0, 1].name", ["a", "b"]),
    (". | .status | .phase", ["Running"]),
]  # fmt: skip


@pytest.mark.parametrize(("program", "expected"), PROGRAMS)
def test_programs(program: str, expected: list[Any] | None) -> None:
    assert jq.results(jq.compile(program), POD) == expected


def test_jq_itself_says_the_same() -> None:
    binary = shutil.which("jq")
    if binary is None:
        pytest.skip("there is no jq here")
    together = ", ".join(f"(try [{program}] catch null)" for program, _ in PROGRAMS)
    found = subprocess.run([binary, f"[{together}]"], input=json.dumps(POD), capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == [expected for _, expected in PROGRAMS]


def test_a_dot_may_stand_before_brackets() -> None:
    program = jq.compile('.status.conditions.[] | select( .type == "Ready" ) | .status')
    assert jq.results(program, POD) == ["True"]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("", "something is missing at character 1"),
        (".a |", "something is missing at character 5"),
        (".a b", "'b' is not expected at character 4"),
        (".a[1:2]", "slices are not supported, at character 5"),
        ("reduce .[] as $x (0; . + $x)", "'reduce' is not supported, at character 1; there are all, any, "),
        (".a | test(\"b\")", "'test' is not supported, at character 6; there are"),
        ("$x", "'$' is not supported, at character 1"),
        ("{a: 1}", "'{' is not supported, at character 1"),
        ("[.a]", "'[' is not expected at character 1"),
        ('"\\(.a)"', "\\( in a string is not supported"),
        ('"open', "'\"' is not supported, at character 1"),
        ("select(.a", "')' is expected at character 10, not 'the end'"),
        (".a." , "a field is expected at character 4"),
        ("(" * 60, "it is nested deeper than 50"),
        ("." * 5000, "it is longer than 4096 characters"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused(program: str, message: str) -> None:
    with pytest.raises(JQError) as caught:
        jq.compile(program)
    assert str(caught.value).startswith(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def every_path(value: Any, path: str = ".") -> list[tuple[str, Any]]:
    found = [(path, value)]
    if isinstance(value, dict):
        for key, item in value.items():
            found += every_path(item, f"{path}[{json.dumps(key)}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += every_path(item, f"{path}[{index}]")
    return found


@given(JSON)
def test_every_path_leads_to_its_value(value: Any) -> None:
    for path, expected in every_path(value):
        assert jq.results(jq.compile(path), value) == [expected]


@given(JSON, JSON)
def test_order_is_total(first: Any, second: Any) -> None:
    pair = [first, second]
    less, equal, more = (jq.results(jq.compile(f".[0] {sign} .[1]"), pair) for sign in ("<", "==", ">"))
    assert [less, equal, more].count([True]) == 1


@given(st.text(max_size=40))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    try:
        program = jq.compile(text)
    except JQError:
        return
    jq.results(program, POD)
