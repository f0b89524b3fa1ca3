"""The behaviours by which Kubernetes tells a conformant cluster, as far as API server, controllers and scheduler decide them.

Each test carries the name under which Kubernetes publishes the behaviour (test/conformance/testdata/conformance.yaml) and takes
the steps of the published description. ``behaviours.txt`` lists the names that are kept, by the file that tests them upstream;
modules here are named after those files. The cluster is real but for its kubelets, which pretend, and its time, which only
passes when nothing is left to be done: so a test can wait for a minute to have passed, or see that nothing happens in one.
What other processes take part in (``realtime.py``) happens in real time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., None])


def behaviour(name: str) -> Callable[[Test], Test]:
    """This test shows the behaviour published under that name."""

    def mark(test: Test) -> Test:
        test.behaviour = name  # type: ignore[attr-defined]
        return test

    return mark


def behaviour_of(test: Any) -> str:
    """The behaviour that a test shows, or ""."""
    return str(getattr(test, "behaviour", ""))
