"""The record of a run as one page of HTML that a person can look at: it needs nothing but itself, and the same run
gives the same page to the last byte.

The page is a template (report.html) and data (reportdata.py); what draws it stands in the template.
"""

from __future__ import annotations

import html
import json
from importlib import resources

from navarch.simulation import reportdata
from navarch.simulation.record import Record

TEMPLATE = "report.html"
SUFFIXES = (".html", ".htm")
TITLE_MARK, DATA_MARK = "{{title}}", "{{data}}"


def page(record: Record, replay: str) -> str:
    """The page. `replay`: the command that runs the same again."""
    template = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    before, title_mark, rest = template.partition(TITLE_MARK)
    middle, data_mark, after = rest.partition(DATA_MARK)
    assert title_mark and data_mark, "the template has lost its marks"
    title = html.escape(f"{record.scenario}, seed {record.seed}")
    return f"{before}{title}{middle}{_embedded(reportdata.data(record, replay))}{after}"


def _embedded(data: object) -> str:
    """JSON that can stand in a script element, whatever strings it has: no tag begins or ends in it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
