"""Makes the files that are not committed: the schema of the built-in kinds, and the message classes of the CRI and etcd.

Runs for wheels and editable installs; the sdist carries the sources only.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        sys.path.insert(0, self.root)
        try:
            for step in ("build_hooks.schema", "build_hooks.protos"):
                import_module(step).build(Path(self.root))
        finally:
            sys.path.remove(self.root)
