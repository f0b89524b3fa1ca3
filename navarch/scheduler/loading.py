"""Users' plugins: classes in Python files, or offered by installed packages as entry points of `navarch.scheduler_plugins`."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from navarch.scheduler.framework import PerNode, Plugin
from navarch.scheduler.plugins import IN_TREE
from navarch.scheduler.profiles import ConfigurationError

ENTRY_POINT_GROUP = "navarch.scheduler_plugins"


def load(files: Iterable[Path] = ()) -> dict[str, type[Plugin]]:
    """All there are, by name. Raises ConfigurationError for what cannot be loaded or has a name that is taken."""
    found: dict[str, type[Plugin]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            kind = entry.load()
        except Exception as error:
            raise ConfigurationError(f"entry point {entry.name}", f"cannot be loaded: {error}") from error
        _add(found, kind, f"entry point {entry.name}")
    for path in files:
        kinds = _classes(_module(path))
        if not kinds:
            raise ConfigurationError(str(path), "there is no plugin in it")
        for kind in kinds:
            _add(found, kind, str(path))
    return found


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"navarch_scheduler_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(str(path), "a Python file is expected")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigurationError(str(path), f"{type(error).__name__}: {error}") from error
    return module


def _classes(module: ModuleType) -> list[type[Plugin]]:
    """The plugins that are defined there, not those it imports."""
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Plugin) and kind not in (Plugin, PerNode) and kind.__module__ == module.__name__
    ]


def _add(found: dict[str, type[Plugin]], kind: object, where: str) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Plugin) and kind.name):
        raise ConfigurationError(where, "a Plugin with a name is expected")
    if kind.name in IN_TREE or kind.name in found:
        raise ConfigurationError(where, f'there is a plugin "{kind.name}" already')
    found[kind.name] = kind
