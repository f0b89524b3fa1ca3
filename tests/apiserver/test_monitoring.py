"""What the API server counts, under kube-apiserver's names."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.apiserver.requestinfo import parse
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import Bench, bench
from tests.component.test_metrics import parsed


@pytest.fixture
def own(tmp_path: Path):  # type: ignore[no-untyped-def]
    with bench(tmp_path) as found:
        yield found


def requests(api: Bench, **wanted: str) -> float:
    """How many requests with these labels were counted."""
    found = parsed(api.call("GET", "/metrics").body)
    return sum(
        value
        for (name, labels), value in found.items()
        if name == "apiserver_request_total" and wanted.items() <= dict(labels).items()
    )


def test_requests_are_counted_by_verb_resource_scope_and_code(own: Bench) -> None:
    own.made("configmaps", {"metadata": {"name": "a"}})
    own.get("configmaps", "a")
    own.get("configmaps", "none")
    own.list("configmaps", "default")
    own.list("configmaps")
    own.patch("configmaps", "a", {"data": {"k": "v"}}, dryRun="All")
    own.delete("configmaps", "a")
    configmaps = {"resource": "configmaps", "group": "", "version": "v1", "component": "apiserver"}
    assert requests(own, **configmaps, verb="POST", code="201", scope="namespace") == 1
    assert requests(own, **configmaps, verb="GET", code="200", scope="resource") == 1
    assert requests(own, **configmaps, verb="GET", code="404") == 1
    assert requests(own, **configmaps, verb="LIST", scope="namespace") == 1
    assert requests(own, **configmaps, verb="LIST", scope="cluster") == 1
    assert requests(own, **configmaps, verb="PATCH", dry_run="All") == 1
    assert requests(own, **configmaps, verb="DELETE", scope="resource") == 1


def test_names_that_clients_make_up_do_not_become_labels(own: Bench) -> None:
    for path in ("/nonsense", "/api/v1/nonsense", "/apis/no.such/v1/things", "/api/v1/namespaces/default/pods/x/nonsense"):
        own.call("GET", path)
    own.call("GET", "/version")
    text = own.call("GET", "/metrics").body.decode()
    assert "nonsense" not in text and "no.such" not in text
    assert requests(own, verb="GET", subresource="/version", code="200") == 1


def test_durations_and_sizes_are_distributions(own: Bench) -> None:
    own.list("configmaps")
    found = parsed(own.call("GET", "/metrics").body)
    counts = {name for (name, labels), value in found.items() if value and ("verb", "LIST") in labels}
    assert {"apiserver_request_duration_seconds_count", "apiserver_response_sizes_bucket"} <= counts


def test_what_the_server_is_held_to_leaves_out_what_it_waited_for(own: Bench) -> None:
    info = parse("POST", "/api/v1/namespaces/default/configmaps", {})
    for seconds, waited in ((0.01, 0.0), (3.5, 3.0), (61.0, 0.5)):
        own.server._metrics.observe("POST", info, 201, seconds, 5, dry_run=False, apply=False, waited_seconds=waited)
    found = parsed(own.call("GET", "/metrics").body)

    def value(metric: str, **more: str) -> float:
        wanted = {"verb": "POST", "resource": "configmaps", **more}.items()
        return sum(count for (name, labels), count in found.items() if name == metric and wanted <= dict(labels).items())

    whole, own_part = "apiserver_request_duration_seconds", "apiserver_request_sli_duration_seconds"
    assert (value(f"{whole}_count"), value(f"{own_part}_count")) == (3, 3)
    assert value(f"{whole}_sum") - value(f"{own_part}_sum") == pytest.approx(3.5)
    assert [value(f"{own_part}_bucket", le=bound) for bound in ("0.05", "0.4", "0.6", "60", "+Inf")] == [1, 1, 2, 2, 3]
    assert [value(f"{whole}_bucket", le=bound) for bound in ("0.05", "0.6", "60", "+Inf")] == [1, 1, 2, 3]
    assert not any(dict(labels).get("le") == "0.005" for name, labels in found if name.startswith(own_part))


def test_deprecated_kinds_that_somebody_asked_for_are_named(own: Bench) -> None:
    def named() -> set[tuple[str, str]]:
        found = parsed(own.call("GET", "/metrics").body)
        rows = [dict(labels) for (name, labels), value in found.items() if name == "apiserver_requested_deprecated_apis"]
        assert all((row["group"], row["version"], row["removed_release"]) == ("", "v1", "") for row in rows)
        return {(row["resource"], row["subresource"]) for row in rows}

    own.list("configmaps")
    assert named() == set()
    own.list("endpoints")
    own.get("componentstatuses", "etcd-0")
    assert named() == {("endpoints", ""), ("componentstatuses", "")}


def test_the_size_of_the_database_is_told_where_there_is_one(own: Bench, tmp_path: Path) -> None:
    def size(api: Bench) -> float | None:
        found = parsed(api.call("GET", "/metrics").body)
        return found.get(("apiserver_storage_size_bytes", (("storage_cluster_id", "etcd-0"),)))

    assert size(own) is None
    path = tmp_path / "navarch.db"
    with bench(tmp_path, SQLiteBackend(path)) as api:
        before = size(api)
        assert before and before >= path.stat().st_size > 0
        api.made("configmaps", {"metadata": {"name": "large"}, "data": {"a": "x" * 500_000}})
        assert (size(api) or 0) > before + 400_000


def test_watches_objects_and_the_request_itself_are_seen_as_they_are(own: Bench) -> None:
    own.made("configmaps", {"metadata": {"name": "a"}})
    watching = own.watch("/api/v1/configmaps")
    found = parsed(own.call("GET", "/metrics").body)
    watch = (("verb", "WATCH"), ("group", ""), ("version", "v1"), ("resource", "configmaps"), ("component", "apiserver"))
    assert found["apiserver_longrunning_requests", watch] == 1
    assert found["apiserver_storage_objects", (("resource", "configmaps"),)] == 1
    assert found["apiserver_resource_objects", (("group", "apps"), ("resource", "deployments"))] == 0
    assert found["apiserver_current_inflight_requests", (("request_kind", "readOnly"),)] == 1
    watching.close()
    after = parsed(own.call("GET", "/metrics").body)
    assert ("apiserver_longrunning_requests", watch) not in after


def test_admission_is_timed_by_plugin_and_by_step(own: Bench) -> None:
    def counted() -> dict[tuple[str, ...], float]:
        found = parsed(own.call("GET", "/metrics").body)
        return {
            (
                name.removeprefix("apiserver_admission_").removesuffix("_admission_duration_seconds_count"),
                *dict(labels).values(),
            ): value
            for (name, labels), value in found.items()
            if name.startswith(("apiserver_admission_controller", "apiserver_admission_step")) and name.endswith("_count")
        }

    before = counted()
    own.made("configmaps", {"metadata": {"name": "timed"}})
    assert own.call("POST", "/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "timed"}}).status == 404
    after = counted()
    changed = {labels: value - before.get(labels, 0) for labels, value in after.items() if value != before.get(labels, 0)}
    assert changed[("controller", "NamespaceLifecycle", "admit", "CREATE", "false")] == 1
    assert changed[("controller", "NamespaceLifecycle", "admit", "CREATE", "true")] == 1
    assert changed[("controller", "NamespaceLifecycle", "validate", "CREATE", "false")] == 1
    assert changed[("step", "admit", "CREATE", "false")] == changed[("step", "validate", "CREATE", "false")] == 1
    assert changed[("step", "admit", "CREATE", "true")] == 1
