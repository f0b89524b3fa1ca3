"""What the labels of a namespace ask of its pods: a level and its version for each mode."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from navarch.apimachinery.errors import FieldError, invalid_value

PREFIX = "pod-security.kubernetes.io/"
PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
"""Each asks at least for what the one before it does."""
LATEST = 1 << 63
"""A version that is newer than all; the others are minor versions of Kubernetes 1."""
UNKNOWN_LEVEL = f"must be one of {', '.join(LEVELS)}"
UNKNOWN_VERSION = 'must be "latest" or "v1.x"'
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


class LevelVersion(NamedTuple):
    """A level as some version of Kubernetes defines it."""

    level: str
    version: int

    def __str__(self) -> str:
        return f"{self.level}:{shown(self.version)}"


class Policy(NamedTuple):
    """What is asked in each mode: by refusing, by a note in an audit log, and by a warning."""

    enforce: LevelVersion
    audit: LevelVersion
    warn: LevelVersion

    @property
    def is_privileged(self) -> bool:
        """Whether nothing is asked."""
        return self.enforce.level == self.audit.level == self.warn.level == PRIVILEGED


NOTHING = LevelVersion(PRIVILEGED, LATEST)
DEFAULTS = Policy(NOTHING, NOTHING, NOTHING)


def shown(version: int) -> str:
    return "latest" if version == LATEST else f"v1.{version}"


def counted(asked: LevelVersion, newest: int) -> str:
    """The version under which it is counted by a server of the `newest` version."""
    if asked.level == PRIVILEGED or asked.version == LATEST:
        return "latest"
    return shown(asked.version) if asked.version <= newest else "future"


def is_stricter(one: str, other: str) -> bool:
    """Whether a level asks for more than another."""
    return LEVELS.index(one) > LEVELS.index(other)


def parse_version(text: str) -> int | None:
    """A version as labels have it; None for what is none."""
    if text == "latest":
        return LATEST
    found = _VERSION.fullmatch(text)
    minor = int(found[1]) if found else LATEST
    return minor if minor < LATEST else None


def asked(labels: Mapping[str, str], defaults: Policy = DEFAULTS) -> tuple[Policy, list[FieldError]]:
    """The policy of a namespace with these labels, and what is wrong with them.

    There is a policy also then. What cannot be read forbids the most where pods are refused, and nothing elsewhere.
    """
    problems: list[FieldError] = []
    if not any(name.startswith(PREFIX) for name in labels):
        return defaults, problems

    def read(mode: str, default: LevelVersion, unreadable: str) -> LevelVersion:
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            problems.append(invalid_value(f"metadata.labels[{PREFIX}{mode}]", level, UNKNOWN_LEVEL))
        minor = default.version if version is None else parse_version(version)
        if minor is None:
            problems.append(invalid_value(f"metadata.labels[{PREFIX}{mode}-version]", version, UNKNOWN_VERSION))
            minor = LATEST
        return LevelVersion(default.level if level is None else level if level in LEVELS else unreadable, minor)

    enforce = read("enforce", defaults.enforce, RESTRICTED)
    audit = read("audit", defaults.audit, PRIVILEGED)
    warn = read("warn", defaults.warn, PRIVILEGED)
    if PREFIX + "warn" not in labels and labels.get(PREFIX + "enforce") in LEVELS and is_stricter(enforce.level, warn.level):
        # Whoever writes what makes pods later is to hear at once that they will be refused.
        warn = LevelVersion(enforce.level, warn.version if f"{PREFIX}warn-version" in labels else enforce.version)
    return Policy(enforce, audit, warn), problems
