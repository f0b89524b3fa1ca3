"""The page of a run: its numbers are the record's, it stays small, needs nothing else, and is the same for the same run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.cli import simulate
from navarch.simulation import report, reportdata
from navarch.simulation.record import ActionRecord, EventRecord, ExpectationRecord, PodRecord, Record, Span

SECONDS = 100.0
NODES = ("node-1", "node-2", "node-3")
EXAMPLES = settings(deadline=None, max_examples=40)


@st.composite
def pods(draw: st.DrawFn) -> PodRecord:
    """A pod that waits for a node, runs there in some phases, and may be deleted."""
    moments = sorted(draw(st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True)))
    node, bound = draw(st.sampled_from(NODES)), draw(st.integers(0, 6))
    spans = [
        Span(float(at), draw(st.sampled_from(("Pending", "Running", "Ready", "Odd"))), node if index >= bound else "")
        for index, at in enumerate(moments)
    ]
    deleted = draw(st.none() | st.integers(moments[-1], 100))
    return PodRecord("default", "pod", "", float(moments[0]), spans, deleted if deleted is None else float(deleted))


def record_of(pods: list[PodRecord]) -> Record:
    record = Record("test", "test.yaml", 7, "2030-01-01T00:00:00Z", seconds=SECONDS)
    record.pods = {str(index): pod for index, pod in enumerate(pods)}
    record.nodes = {"node-1": [(0.0, "ready"), (30.0, "unknown"), (60.0, "ready")], "node-2": [(0.0, "ready"), (50.0, "gone")]}
    return record


def at(counts: list[list[Any]], moment: float) -> list[int]:
    """What a row of counts says of a moment."""
    return next((numbers for since, *numbers in reversed(counts) if since <= moment), [0] * len(reportdata.PHASES))


def expected(record: Record, moment: float, nodes: set[str]) -> list[int]:
    """The same, counted pod by pod."""
    numbers = [0] * len(reportdata.PHASES)
    for pod in record.pods.values():
        span = next((span for span in reversed(pod.spans) if span.since <= moment), None)
        if span is not None and span.node in nodes and (pod.deleted is None or moment < pod.deleted):
            phase = span.phase if span.phase in reportdata.PHASES else "Unknown"
            numbers[reportdata.PHASES.index(phase)] += 1
    return numbers


@EXAMPLES
@given(st.lists(pods(), max_size=12))
def test_numbers_are_those_of_the_record(found: list[PodRecord]) -> None:
    record = record_of(found)
    data = reportdata.data(record, "again")
    for moment in range(100):
        assert at(data["counts"], moment) == expected(record, moment, {"", *NODES})
        for row in data["rows"]:
            assert at(row["counts"], moment) == expected(record, moment, {row["name"]})


@EXAMPLES
@given(st.lists(pods(), max_size=12))
def test_bars_of_pods_do_not_overlap_and_none_is_lost(found: list[PodRecord]) -> None:
    data = reportdata.data(record_of(found), "again")
    spans = 0
    for row in data["rows"]:
        ends: dict[int, float] = {}
        for _, lane, end, since, *rest in sorted(row["stays"], key=lambda stay: (stay[3], stay[0])):
            assert 0 <= lane < row["lanes"]
            assert since >= ends.get(lane, 0.0)
            ends[lane] = max(end, since)
            spans += (len(rest) + 1) // 2
    assert spans == sum(len(pod.spans) for pod in found)


@EXAMPLES
@given(st.lists(pods(), min_size=5, max_size=12))
def test_what_is_too_much_is_taken_together(found: list[PodRecord]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reportdata, "SPANS_LIMIT", 4)
        patch.setattr(reportdata, "ROWS_LIMIT", 2)
        patch.setattr(reportdata, "CHANGES_LIMIT", 10)
        record = record_of(found)
        record.nodes["node-3"] = [(0.0, "ready")]
        data = reportdata.data(record, "again")
    assert data["pods"] is None and not any("stays" in row for row in data["rows"])
    assert [row["nodes"] for row in data["rows"]] == [0, 2, 1]
    for row in [data, *data["rows"]]:
        assert len(row["counts"]) <= 10
    # Each of the parts shows what holds at its end, or changes nothing.
    for part in range(10):
        assert at(data["counts"], part * 10) in (
            expected(record, part * 10 + 9, {"", *NODES}),
            expected(record, part * 10, {"", *NODES}),
        )


def test_nodes_that_share_a_row_are_ready_when_all_are() -> None:
    record = record_of([])
    record.nodes["node-3"] = [(10.0, "not ready"), (40.0, "ready")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reportdata, "ROWS_LIMIT", 1)
        _, row = reportdata.data(record, "again")["rows"]
    assert row["name"] == "node-1 … node-3" and row["nodes"] == 3
    assert row["states"] == [[0.0, "ready"], [10.0, "not ready"], [60.0, "ready"]]


class _Scripts(HTMLParser):
    """Takes the texts of all scripts, and every address that is named."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        if self._inside:
            self.texts.append("")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


HOSTILE = "</script><script>alert(1)</script><!-- \u2028 {{data}} é"


def hostile() -> Record:
    record = record_of([PodRecord("default", HOSTILE, HOSTILE, 0.0, [Span(0.0, "Ready", "node-1")])])
    record.scenario = HOSTILE
    record.events.append(EventRecord(1.0, "Normal", "Started", HOSTILE, HOSTILE))
    record.actions.append(ActionRecord(2.0, "crash", HOSTILE, True, 3, 5.0))
    record.expectations.append(ExpectationRecord(100.0, 4, HOSTILE, "not so"))
    record.find(3.0, "quotas", HOSTILE, HOSTILE)
    return record


def test_no_string_gets_out_of_the_data() -> None:
    data, program = _Scripts(report.page(hostile(), HOSTILE)).texts
    found = json.loads(data)
    assert found["scenario"] == found["replay"] == found["findings"][0]["message"] == HOSTILE
    assert [found["strings"][index] for index in found["events"][0][1:]] == ["Normal", "Started", HOSTILE, HOSTILE]
    assert "alert(1)" not in program


def test_it_asks_for_nothing() -> None:
    page = report.page(record_of([]), "again")
    assert _Scripts(page).addresses == []
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page


def test_its_program_is_one(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no JavaScript here")
    program = tmp_path / "program.js"
    program.write_text(_Scripts(report.page(hostile(), "again")).texts[1], encoding="utf-8")
    subprocess.run([node, "--check", program], check=True)


SCENARIO = """
for: 5m
settle: 1m
objects:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    replicas: 3
    selector: {matchLabels: {app: web}}
    template:
      metadata: {labels: {app: web}}
      spec: {containers: [{name: main, image: "registry.example/web:1"}]}
timeline:
- {at: 1m, do: crash, node: any, for: 30s}
- {at: 2m, do: restart, object: deployment/web}
expect:
- {pods: app=web, ready: 4}
"""


def test_the_command_writes_the_same_page_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    options = simulate.Options(scenario=tmp_path / "scenario.yaml", seed=5, duration="4m")
    pages = []
    for name in ("one.html", "two.html"):
        assert simulate.main(replace(options, report=tmp_path / name)) == 1
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    found = json.loads(_Scripts(pages[0].decode()).texts[0])
    assert found["replay"] in capsys.readouterr().out
    assert found["replay"].endswith("scenario.yaml --seed 5 --for 4m")
    assert [action["name"] for action in found["actions"]] == ["crash", "restart"]
    (failure,) = found["failures"]
    assert failure.endswith("expected pods=app=web ready=4: there are 3, 3 of them ready")
    assert {row["name"] for row in found["rows"]} == {"", "node-1", "node-2", "node-3"}


def test_another_ending_gets_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scenario.yaml").write_text("for: 1m\nsettle: 0s\n")
    assert simulate.main(simulate.Options(scenario=tmp_path / "scenario.yaml", report=tmp_path / "report.txt")) == 0
    assert (tmp_path / "report.txt").read_text() == capsys.readouterr().out
