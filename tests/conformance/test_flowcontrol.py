"""FlowSchemas and PriorityLevelConfigurations."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.objects import condition_of
from tests.conformance.world import Space

GROUP = "flowcontrol.apiserver.k8s.io"


STATUSES = {"status": [condition_of("PatchStatusFailed"), condition_of("StatusUpdateFailed")]}


@behaviour("Priority and Fairness FlowSchema API")
def test_a_flow_schema_does_every_verb(space: Space) -> None:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    spec = {"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"}, "rules": [rule]}
    names = [f"e2e-schema-{space.name}-{number}" for number in range(3)]
    supports_api_operations(space, f"flowschemas.{GROUP}", names, {"spec": spec}, statuses=STATUSES, annotates=False)


@behaviour("Priority and Fairness PriorityLevelConfiguration API")
def test_a_priority_level_does_every_verb(space: Space) -> None:
    limited = {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}
    names = [f"e2e-level-{space.name}-{number}" for number in range(3)]
    body = {"spec": {"type": "Limited", "limited": limited}}
    supports_api_operations(space, f"prioritylevelconfigurations.{GROUP}", names, body, statuses=STATUSES, annotates=False)
