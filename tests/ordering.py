"""A pytest plugin (`-p tests.ordering`): fast tests first, then those that need root, then those with real containers."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is not None, item.get_closest_marker("root") is not None))
