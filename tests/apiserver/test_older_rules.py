"""Objects that were stored when rules were looser."""

from __future__ import annotations

import pytest

from navarch.api.registry import resource
from tests.apiserver.bench import Bench
from tests.apiserver.samples import sample


def test_what_was_stored_under_older_rules_can_still_be_changed(api: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = resource("services")
    service = sample(kind, "older")
    service["spec"]["trafficDistribution"] = "PreferSomething"
    with monkeypatch.context() as older:
        older.setitem(vars(kind), "validate", lambda obj: ())
        api.made("services", service)
    labelled = api.patch("services", "older", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.status == 200, labelled.body
    refused = api.patch("services", "older", {"spec": {"trafficDistribution": "PreferOther"}})
    assert refused.causes == [("FieldValueNotSupported", "spec.trafficDistribution")]
