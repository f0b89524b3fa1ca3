"""Jobs: what their specs may be, what the server fills in, and what of them may change."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.batch import jobpolicies
from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, merged, on_create, on_update
from tests.counting import Counter

JOB = "jobs.batch"
INDEXED: Object = {"completionMode": "Indexed", "completions": 5, "parallelism": 2}
CODES: Object = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
TOGETHER = "when completions are above 100000 and used with backoff limit per index"
ONLY_INDEXED = "requires indexed completion mode"


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def failing(*rules: Object, **fields: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never"}}
    return spec(**{"podFailurePolicy": {"rules": list(rules)}, "template": template, **fields})


def succeeding(*rules: Object) -> Object:
    return spec(**INDEXED, successPolicy={"rules": list(rules)})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (spec(maxFailedIndexes=1, **INDEXED), [
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        ]),
        (spec(backoffLimitPerIndex=1), [f"spec.backoffLimitPerIndex: Invalid value: 1: {ONLY_INDEXED}"]),
        (spec(backoffLimitPerIndex=1, maxFailedIndexes=1), [
            f"spec.backoffLimitPerIndex: Invalid value: 1: {ONLY_INDEXED}",
            f"spec.maxFailedIndexes: Invalid value: 1: {ONLY_INDEXED}",
        ]),
        (spec(completionMode="Odd"), [
            'spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", "Indexed"',
        ]),
        (spec(completionMode="Indexed", parallelism=1, completions=None), [
            "spec.completions: Required value: when completion mode is Indexed",
        ]),
        (spec(completionMode="Indexed", completions=5, parallelism=100001), [
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        ]),
        (spec(**INDEXED, backoffLimitPerIndex=1, maxFailedIndexes=6), [
            "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions",
        ]),
        (spec(completionMode="Indexed", completions=100001, parallelism=10001, backoffLimitPerIndex=1), [
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            f"spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 {TOGETHER}",
        ]),
        (spec(managedBy=""), ["spec.managedBy: Required value"]),
        (spec(managedBy="me"), [
            'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
        ]),
        (spec(managedBy="a.b/" + "c" * 60), ["spec.managedBy: Too long: may not be more than 63 bytes"]),
        (spec(podReplacementPolicy="Soon"), [
            'spec.podReplacementPolicy: Unsupported value: "Soon": supported values: "Failed", "TerminatingOrFailed"',
        ]),
        (spec(template={"spec": {"restartPolicy": "Always"}}), [
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ]),
        ({"metadata": {"name": "a" * 62}, **spec(**INDEXED)}, [
            f'metadata.name: Invalid value: "{"a" * 62}": will not able to create pod with invalid DNS label: {"a" * 62}-4',
        ]),
    ],
)  # fmt: skip
def test_what_a_job_may_not_be(change: Object, expected: list[str]) -> None:
    assert on_create(JOB, change) == expected


RULE = "spec.podFailurePolicy.rules[0]"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (failing(CODES), []),
        (failing(), []),
        (failing(*[CODES] * 21), ["spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"]),
        (failing({**CODES, "action": ""}), [
            f'{RULE}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
        ]),
        (failing({**CODES, "action": "Odd"}), [
            f'{RULE}.action: Unsupported value: "Odd": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
        ]),
        (failing({**CODES, "action": "FailIndex"}), [
            f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
        ]),
        (failing({"action": "Count"}), [
            f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ]),
        (failing({**CODES, "onPodConditions": [{"type": "Ready"}]}), [
            f"{RULE}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
        ]),
        (failing({"action": "Count", "onPodConditions": [{"type": "a b", "status": "No"}]}), [
            f'{RULE}.onPodConditions[0].type: Invalid value: "a b": name part must consist of alphanumeric characters, \'-\', '
            "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
            "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            f'{RULE}.onPodConditions[0].status: Unsupported value: "No": supported values: "False", "True", "Unknown"',
        ]),
        (failing({"action": "Count", "onExitCodes": {"operator": "", "values": [], "containerName": "x"}}), [
            f'{RULE}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
            f'{RULE}.onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in '
            "the pod template",
            f"{RULE}.onExitCodes.values: Invalid value: []: at least one value is required",
        ]),
        (failing({"action": "Count", "onExitCodes": {"operator": "In", "values": [2, 0, 2]}}), [
            f"{RULE}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            f"{RULE}.onExitCodes.values[2]: Duplicate value: 2",
            f"{RULE}.onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
        ]),
        (failing(CODES, podReplacementPolicy="TerminatingOrFailed"), [
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
        ]),
        (failing(CODES, template={"spec": {"restartPolicy": "OnFailure"}}), [
            'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is '
            "specified",
        ]),
    ],
)  # fmt: skip
def test_what_a_policy_of_failures_may_not_be(change: Object, expected: list[str]) -> None:
    assert on_create(JOB, change) == expected


EARLY = "spec.successPolicy.rules[0]"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (succeeding({"succeededIndexes": "0,2-4", "succeededCount": 3}), []),
        (succeeding(), [
            "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is "
            "specified",
        ]),
        (succeeding({}), [
            f"{EARLY}: Required value: at least one of succeededCount or succeededIndexes must be specified",
        ]),
        (succeeding({"succeededCount": 6}), [
            f"{EARLY}.succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)",
        ]),
        (succeeding({"succeededCount": 3, "succeededIndexes": "1-2"}), [
            f"{EARLY}.succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the "
            "specified succeededIndexes field)",
        ]),
        *((succeeding({"succeededIndexes": indexes}), [
            f'{EARLY}.succeededIndexes: Invalid value: "{indexes}": error parsing succeededIndexes: {text}',
        ]) for indexes, text in (
            ("5", 'too large index: "5"'),
            ("a", 'cannot convert string to integer for index: "a"'),
            ("3,1", "non-increasing order, previous: 3, current: 1"),
            ("3-3", "non-increasing order, previous: 3, current: 3"),
            ("1-2-3", 'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts '
             "separated by '-'"),
        )),
        (spec(successPolicy={"rules": [{"succeededCount": 1}]}), [
            'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: '
            "requires indexed completion mode",
        ]),
    ],
)  # fmt: skip
def test_what_a_policy_of_success_may_not_be(change: Object, expected: list[str]) -> None:
    assert on_create(JOB, change) == expected


def test_what_is_filled_in() -> None:
    found = made(JOB, {"spec": {"backoffLimitPerIndex": 1, **INDEXED}})["spec"]
    assert (found["manualSelector"], found["backoffLimit"], found["podReplacementPolicy"]) == (
        False,
        2**31 - 1,
        "TerminatingOrFailed",
    )
    assert made(JOB, failing(CODES))["spec"]["podReplacementPolicy"] == "Failed"


def labels_of(job: Object) -> tuple[Object, Object]:
    """(its own, those of its pods)."""
    return job["metadata"].get("labels") or {}, job["spec"]["template"]["metadata"]["labels"]


def test_a_job_without_labels_has_those_of_its_pods() -> None:
    generated = {"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u"}
    generated |= {"job-name": "sample", "batch.kubernetes.io/job-name": "sample"}
    plain: Object = {"metadata": {"labels": None}, "spec": {"template": {"metadata": None}}}
    assert labels_of(made(JOB, plain)) == (generated, generated)
    labelled: Object = {"metadata": {"labels": None}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    assert labels_of(made(JOB, labelled)) == ({"a": "b"} | generated, {"a": "b"} | generated)
    both: Object = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    assert labels_of(made(JOB, both)) == ({"a": "b"}, {"a": "b"} | generated)


def test_labels_that_the_server_would_make_are_not_overwritten() -> None:
    change: Object = {"metadata": {"labels": {"x": "y"}}, "spec": {"template": {"metadata": {"labels": {"job-name": "other"}}}}}
    *_, last = problems = on_create(JOB, change)
    assert len(problems) == 1
    assert last.startswith("spec.template.metadata.labels[job-name]: Invalid value: {")
    assert last.endswith(": must be 'sample'")
    chosen: Object = {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "other"}}}
    assert on_create(JOB, {"spec": chosen}) == [
        'spec.selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"other"}}: '
        "`selector` not auto-generated",
        "spec.template.metadata.labels: Invalid value: "
        '{"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"sample","controller-uid":"u",'
        '"job-name":"sample"}: `selector` does not match template `labels`',
    ]


def test_a_selector_of_ones_own_must_match() -> None:
    manual: Object = {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}}
    assert on_create(JOB, {"spec": {**manual, "template": {"metadata": {"labels": {"a": "b"}}}}}) == []
    assert on_create(JOB, {"spec": {**manual, "template": {"metadata": {"labels": {"a": "c"}}}}}) == [
        'spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`'
    ]
    assert on_create(JOB, {"spec": {"manualSelector": True}}) == [
        "spec.selector: Required value",
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
    ]


@pytest.mark.parametrize(
    ("before", "change", "expected"),
    [
        (INDEXED, {"completions": 6}, [
            "spec.completions: Invalid value: 6: can only be modified in tandem with spec.parallelism",
        ]),
        (INDEXED, {"completions": 6, "parallelism": 6}, []),
        ({"completions": 5}, {"completions": 6, "parallelism": 6}, ["spec.completions: Invalid value: 6: field is immutable"]),
        (INDEXED, {"completionMode": "NonIndexed"}, ['spec.completionMode: Invalid value: "NonIndexed": field is immutable']),
        ({}, {"managedBy": "example.com/x"}, ['spec.managedBy: Invalid value: "example.com/x": field is immutable']),
        ({**INDEXED, "backoffLimitPerIndex": 1}, {"backoffLimitPerIndex": 2}, [
            "spec.backoffLimitPerIndex: Invalid value: 2: field is immutable",
        ]),
        ({**INDEXED, "backoffLimitPerIndex": 1}, {"maxFailedIndexes": 2}, []),
        (succeeding({"succeededCount": 1})["spec"], {"successPolicy": None}, [
            "spec.successPolicy: Invalid value: null: field is immutable",
        ]),
        (INDEXED, {"successPolicy": {"rules": [{"succeededCount": 1}]}}, [
            'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: field is immutable',
        ]),
        ({}, {"activeDeadlineSeconds": 5, "parallelism": 3, "suspend": True}, []),
    ],
)  # fmt: skip
def test_what_of_a_job_may_change(before: Object, change: Object, expected: list[str]) -> None:
    assert on_update(JOB, {"spec": change}, {"spec": before}) == expected


def test_a_spec_that_makes_no_sense_is_said_twice_to_an_update() -> None:
    problem = "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"
    assert on_update(JOB, {"spec": {"parallelism": -1}}) == [problem, problem]


NODES = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}}
PODS = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}


def of_template(change: Object, *, suspend: bool = True, before: Object | None = None, **status: Any) -> list[str]:
    """The fields that are said to be wrong with a change of the template's spec."""
    kind = resource(JOB)
    old = made(JOB, {"spec": {"suspend": suspend, "template": {"spec": before or {}}}}) | {"status": status}
    template = old["spec"]["template"]
    new = {**old, "spec": {**old["spec"], "template": {**template, "spec": merged(template["spec"], change)}}}
    assert kind.validate_update is not None
    return [problem.field for problem in kind.validate_update(new, old)]


SUSPENDED = [{"type": "Suspended", "status": "True"}]


def container(**fields: Any) -> Object:
    return {**made(JOB)["spec"]["template"]["spec"]["containers"][0], **fields}


SMALL = {"containers": [container(resources={"requests": {"cpu": "1"}})]}


@pytest.mark.parametrize(
    "change", [{"nodeSelector": {"a": "b"}}, {"affinity": NODES}, {"schedulingGates": [{"name": "a.b/c"}]}, SMALL]
)
def test_a_job_that_does_not_run_may_be_moved(change: Object) -> None:
    assert of_template(change) == []
    assert of_template(change, suspend=False) == ["spec.template"]
    assert of_template(change, startTime="2026-01-01T00:00:00Z") == ["spec.template"]
    assert of_template(change, startTime="2026-01-01T00:00:00Z", conditions=SUSPENDED) == []
    assert of_template(change, startTime="2026-01-01T00:00:00Z", conditions=SUSPENDED, active=1) == ["spec.template"]
    assert of_template(change, suspend=False, conditions=SUSPENDED) == ["spec.template"]


def test_nothing_else_of_it_changes() -> None:
    for change in ({"containers": [container(image="other")]}, {"affinity": PODS}, {"dnsPolicy": "Default"}):
        assert of_template(change) == ["spec.template.spec"]
    assert of_template({"affinity": None}, before={"affinity": NODES}) == []
    assert of_template({"affinity": None}, before={"affinity": {**NODES, **PODS}}) == ["spec.template.spec"]
    only_pods = {"affinity": {"nodeAffinity": None}}
    assert of_template(only_pods, before={"affinity": {**NODES, **PODS}}) == []


def test_many_exit_codes_are_looked_at_once() -> None:
    counter = Counter()
    codes = {"operator": "NotIn", "values": [counter.number(value) for value in range(1000)]}
    rules = [{"action": "FailJob", "onExitCodes": codes}]
    found = jobpolicies.validate_failure_policy({"podFailurePolicy": {"rules": rules}, "template": {"spec": {}}}, "policy")
    assert [error.message for error in found] == [
        "policy.rules[0].onExitCodes.values: Too many: 1000: must have at most 255 items"
    ]
    assert counter.comparisons < 5000
