"""Stage files: what is read of them, and what is refused, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.simulation.document import ScenarioError
from navarch.simulation.stages import definition
from navarch.simulation.stages.definition import ChangeFinalizers, Delete, Patch, SendEvent

PODS = Path(__file__).parent / "pods.yaml"
HEAD = "apiVersion: kwok.x-k8s.io/v1alpha1\nkind: Stage\nmetadata: {name: one}\nspec:\n"
POD = HEAD + "  resourceRef: {apiGroup: v1, kind: Pod}\n"


def test_stages_are_read_in_order_in_both_ways_of_writing() -> None:
    found = definition.of_objects(definition.load([PODS]))
    assert [(stage.name, stage.kind.resource) for stage in found] == [
        ("node-comes-up", "nodes"),
        ("node-breaks", "nodes"),
        ("pod-is-made", "pods"),
        ("pod-is-ready", "pods"),
        ("pod-completes", "pods"),
        ("pod-fails", "pods"),
        ("pod-is-let-go", "pods"),
        ("pod-is-deleted", "pods"),
    ]
    made, ready, let_go, deleted = found[2], found[3], found[6], found[7]
    assert [type(step) for step in made.steps] == [SendEvent, ChangeFinalizers, Patch]
    assert [type(step) for step in let_go.steps] == [SendEvent, ChangeFinalizers]
    assert deleted.steps == (Delete(),)
    patch = made.steps[2]
    assert isinstance(patch, Patch) and (patch.root, patch.subresource, patch.type) == ("status", "status", "")
    (patch,) = ready.steps
    assert isinstance(patch, Patch) and (patch.root, patch.subresource, patch.type) == ("status", "status", "strategic")
    assert ready.delay is not None and ready.delay.duration.value == 2000 and ready.delay.duration.source is not None


def test_a_directory_has_its_files_but_no_kustomization(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [b.yaml]\n")
    (tmp_path / "b.yaml").write_text(POD + "  next: {delete: true}\n")
    (tmp_path / "a.yaml").write_text(POD.replace("one", "two") + "  next: {delete: true}\n---\n")
    (tmp_path / "README.md").write_text("# no stage")
    assert [stage.name for stage in definition.of_objects(definition.load([tmp_path]))] == ["two", "one"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("kind: Pod", 1, "it should be a Stage of kwok.x-k8s.io/v1alpha1, not 'Pod' of None"),
        ("a: [", 2, "did not find expected node content"),
        (HEAD.replace("{name: one}", "{}") + "  x: 1", 3, "a stage has a name"),
        (HEAD + "  resourceRef: {kind: Pud}", 5, "no built-in kind of v1 is 'Pud'; the nearest is 'Pod'"),
        (HEAD + "  resourceRef: {apiGroup: apps/v1, kind: Pod}", 5, "no built-in kind of apps/v1 is 'Pod'"),
        (POD + "  nxt: {}", 6, "unknown field 'nxt'; the nearest is 'next'"),
        (POD + "  weight: many", 6, "weight: 'many' should be a whole number, 0 or more"),
        (POD + "  delay: {durationMilliseconds: -1}", 6, "durationMilliseconds: -1 should be a whole number, 0 or more"),
        (
            POD + "  delay:\n    durationFrom: {expressionFrom: '.a['}",
            7,
            "expressionFrom: jq: something is missing at character 4",
        ),
        (
            POD + "  delay:\n    durationFrom: {cel: {expression: a}}",
            7,
            "expressions in CEL are not supported, only those in jq",
        ),
        (
            POD + "  selector:\n    matchExpressions:\n    - {key: .a, operator: Is}",
            8,
            "unknown operator 'Is'; the nearest is 'In'",
        ),
        (
            POD + "  selector:\n    matchExpressions:\n    - {key: .a, operator: In}",
            8,
            "for 'in', 'notin' operators, values set",
        ),
        (
            POD + "  selector:\n    matchExpressions:\n    - {key: .a, operator: Exists, values: [b]}",
            8,
            "values set must be empty for exists and does not exist",
        ),
        (
            POD + "  selector:\n    matchExpressions:\n    - {key: '.a | ltrimstr(1)', operator: Exists}",
            8,
            "key: jq: 'ltrimstr' is not supported, at character 6",
        ),
        (
            POD + "  selector:\n    matchExpressions:\n    - cel: {expression: 'true'}",
            8,
            "expressions in CEL are not supported",
        ),
        (POD + "  selector:\n    matchLabels: {a: 1}", 7, "it should be a mapping of strings"),
        (
            POD + "  next:\n    statusTemplate: |\n      a: 1\n      b: {{ nope }}\n",
            9,
            "statusTemplate: function 'nope' is not defined",
        ),
        (POD + "  next:\n    event: {message: '{{ .a '}", 7, "message: an action is not closed"),
        (
            POD + "  next:\n    patches:\n    - {type: merg, template: a}",
            8,
            "unknown patch type 'merg'; the nearest is 'merge'",
        ),
        (POD + "  next:\n    patches:\n    - {impersonation: {username: a}}", 8, "acting as another user is not supported"),
        (POD + "  steps:\n  - apply: {template: a}", 7, "steps that apply other objects are not supported"),
        (POD + "  next: {statusTemplate: 1}", 6, "statusTemplate: it should be a string"),
    ],
)
def test_mistakes_are_told_with_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    file = tmp_path / "stages.yaml"
    # Not the first of its file.
    file.write_text(f"{POD}  next: {{delete: true}}\n---\n{text}\n")
    with pytest.raises(ScenarioError) as caught:
        definition.load([file])
    assert str(caught.value).startswith(f"{file}:{line + 7}: {message}")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.yaml:1: cannot be read"):
        definition.load([tmp_path / "none.yaml"])
