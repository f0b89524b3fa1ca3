"""What is promised is tested, once; a few behaviours are published under one name."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

from tests.conformance import behaviour_of

HERE = Path(__file__).parent


def promised() -> list[str]:
    lines = (line.strip() for line in (HERE / "behaviours.txt").read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def shown() -> list[str]:
    modules = [importlib.import_module(f"tests.conformance.{path.stem}") for path in sorted(HERE.glob("test_*.py"))]
    tests = [value for module in modules for name, value in vars(module).items() if name.startswith("test_")]
    return [name for name in map(behaviour_of, tests) if name]


def test_each_promised_behaviour_has_exactly_one_test() -> None:
    assert Counter(shown()) == Counter(promised())
