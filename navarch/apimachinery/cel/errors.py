"""What goes wrong: errors of compiling, each at a place in the text, and the error of an evaluation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 100
"""Errors that a rendering shows at most."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One error in an expression. `line` counts from 1, `column` from 0, in code points."""

    message: str
    line: int
    column: int


class CompileError(ValueError):
    """The expression cannot be parsed or has no valid type; its text is the rendering of all errors as cel-go has it."""

    def __init__(self, issues: Iterable[Issue], text: str) -> None:
        self.issues = sorted(issues, key=lambda issue: (issue.line, issue.column))
        super().__init__(_render(self.issues, text))


class EvaluationError(Exception):
    """The expression has no value for this data: a key is missing, a number overflows, a cost limit is exceeded."""


class CostLimitError(EvaluationError):
    """Evaluating costs more than allowed. No operator absorbs it."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class Source:
    """The text of an expression, and where its characters are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = [0]
        for offset, character in enumerate(text):
            if character == "\n":
                self._lines.append(offset + 1)

    def issue(self, offset: int, message: str) -> Issue:
        line = bisect_right(self._lines, offset)
        return Issue(message, line, offset - self._lines[line - 1])


def _render(issues: list[Issue], text: str) -> str:
    lines = text.split("\n")
    shown = [_render_one(issue, lines) for issue in issues[:SHOWN]]
    if len(issues) > SHOWN:
        shown.append(f"{len(issues) - SHOWN} more errors were truncated")
    return "\n".join(shown)


def _render_one(issue: Issue, lines: list[str]) -> str:
    head = f"ERROR: <input>:{issue.line}:{issue.column + 1}: {issue.message}"
    if not 0 < issue.line <= len(lines):
        return head
    line = lines[issue.line - 1].replace("\t", " ")
    # Whatever takes more than one byte is taken to be twice as wide.
    dots = "".join("." if character.isascii() else "．" for character in line[: issue.column].ljust(issue.column))
    mark = "^" if line[issue.column : issue.column + 1].isascii() else "＾"
    return f"{head}\n | {line}\n | {dots}{mark}"
