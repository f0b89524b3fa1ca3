"""Binding: on which node a pod runs. It is never stored: it changes the pod of its name."""

from __future__ import annotations

from navarch.api.kind import Kind

KIND = Kind(group="", version="v1", kind="Binding", plural="bindings", verbs=("create",))
