"""`KubeSchedulerConfiguration` (kubescheduler.config.k8s.io/v1): read from a file, checked, with defaults.

What is unknown or cannot be is refused with the place and the reason; nothing is passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from navarch.api.core.resourcenames import is_extended
from navarch.apimachinery import names, yamlcodec
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, required
from navarch.scheduler.extender import DEFAULT_TIMEOUT_SECONDS, ExtenderConfig
from navarch.scheduler.framework import POINTS, Plugin
from navarch.scheduler.pluginargs import check_args
from navarch.scheduler.plugins import IN_TREE
from navarch.scheduler.podinfo import DEFAULT_SCHEDULER_NAME
from navarch.scheduler.profiles import EVERY, MULTI_POINT, ConfigurationError, PluginSet, Profile, refuse, resolve

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"
MAX_WEIGHT = 2**31 - 1
SIZE_LIMIT_BYTES = 1 << 20
TLS_FIELDS = {"insecure", "certFile", "keyFile", "caFile", "caData"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a scheduler is started with."""

    profiles: tuple[Profile, ...] = (Profile(),)
    backoff_initial_seconds: float = 1.0
    backoff_max_seconds: float = 10.0
    extenders: tuple[ExtenderConfig, ...] = ()
    more_plugins: Mapping[str, type[Plugin]] = field(default_factory=dict)
    """Users' plugins, by name."""


def load(path: Path, more_plugins: Mapping[str, type[Plugin]] | None = None) -> Configuration:
    """Raises ConfigurationError, which names the file."""
    try:
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            raise ConfigurationError(str(path), f"larger than {SIZE_LIMIT_BYTES} bytes")
        document, repeated = yamlcodec.load(path.read_text())
    except OSError as error:
        raise ConfigurationError(str(path), error.strerror or str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"not YAML: {error}") from error
    if repeated:
        raise ConfigurationError(str(path), yamlcodec.repetitions(path.read_text())[0])
    try:
        return parse(document, more_plugins or {})
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.path}" if error.path else str(path), error.reason) from error


def parse(document: Any, more_plugins: Mapping[str, type[Plugin]] = MappingProxyType({})) -> Configuration:
    """The configuration that a decoded document means. Raises ConfigurationError."""
    root = Reader(document, "")
    if root.text("apiVersion") != API_VERSION or root.text("kind") != KIND:
        raise ConfigurationError("", f"apiVersion {API_VERSION} and kind {KIND} are expected")
    known = {**IN_TREE, **more_plugins}
    errors: list[FieldError] = []
    _check_election(root.child("leaderElection"), errors)
    parallelism = root.integer("parallelism", 16)
    if parallelism < 1:
        errors.append(invalid_value("parallelism", parallelism, "should be an integer value greater than zero"))
    found = root.items("profiles")
    # Only where there is but one may it go without saying whose pods it is for.
    name = DEFAULT_SCHEDULER_NAME if len(found) == 1 else ""
    profiles = tuple(_profile(item, known, name, errors) for item in found) or (Profile(),)
    _check_names(profiles, errors)
    _check_percentage(root, errors)
    initial = root.integer("podInitialBackoffSeconds", 1)
    longest = root.integer("podMaxBackoffSeconds", 10)
    if initial < 1:
        errors.append(invalid_value("podInitialBackoffSeconds", initial, "must be greater than 0"))
    if longest < initial:
        text = "must be greater than or equal to PodInitialBackoffSeconds"
        errors.append(invalid_value("podMaxBackoffSeconds", longest, text))
    # These are another component's here, or make no difference to a scheduler that always looks at all nodes.
    for accepted in ("clientConnection", "healthzBindAddress", "metricsBindAddress"):
        root.known.add(accepted)
    for accepted in ("enableProfiling", "enableContentionProfiling", "delayCacheUntilActive"):
        root.known.add(accepted)
    extenders = _extenders(root.items("extenders"), errors)
    root.refuse_unknown()
    refuse(errors)
    profiles = tuple(_ignoring(profile, extenders) for profile in profiles)
    _check_sorting(profiles, known)
    return Configuration(profiles, float(initial), float(longest), extenders, dict(more_plugins))


def _check_election(reader: Reader, errors: list[FieldError]) -> None:
    """Who leads is found out elsewhere, always with a Lease."""
    lock = reader.text("resourceLock", "leases")
    if lock != "leases" and reader.boolean("leaderElect", True):
        errors.append(invalid_value(reader.at("resourceLock"), lock, 'resourceLock value must be "leases"'))


def _extenders(readers: Sequence[Reader], errors: list[FieldError]) -> tuple[ExtenderConfig, ...]:
    found = tuple(_extender(item, errors) for item in readers)
    managed: set[str] = set()
    for reader in readers:
        for number, item in enumerate(reader.fields.get("managedResources") or ()):
            name, at = item.get("name") or "", f"{reader.at('managedResources')}[{number}].name"
            problems = [invalid_value(at, name, text) for text in names.qualified_name(name)]
            if not problems and not is_extended(name):
                problems.append(invalid_value(at, name, "is an invalid extended resource name"))
            if name in managed:
                problems.append(invalid_value(at, name, "duplicate extender managed resource name"))
            managed.add(name)
            errors += problems
    binders = sum(bool(item.bind_verb) for item in found)
    if binders > 1:
        what = f"found {binders} extenders implementing bind"
        errors.append(invalid_value("extenders", what, "only one extender can implement bind"))
    return found


def _extender(reader: Reader, errors: list[FieldError]) -> ExtenderConfig:
    url = reader.text("urlPrefix")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(reader.at("urlPrefix"), "an http or https URL is expected")
    if reader.text("preemptVerb"):
        raise ConfigurationError(reader.at("preemptVerb"), "extenders that take part in preemption are not supported")
    verb, weight = reader.text("prioritizeVerb"), reader.integer("weight", 0)
    if verb and weight <= 0:
        errors.append(invalid_value(reader.at("weight"), weight, "must have a positive weight applied to it"))
    tls = reader.child("tlsConfig")
    tls.known |= TLS_FIELDS
    tls.refuse_unknown()
    secure = reader.boolean("enableHTTPS", url.startswith("https://"))
    managed = [(item.text("name"), item.boolean("ignoredByScheduler", False)) for item in reader.items("managedResources")]
    found = ExtenderConfig(
        ("https://" if secure else "http://") + url.partition("://")[2].rstrip("/"),
        reader.text("filterVerb"),
        verb,
        weight,
        reader.text("bindVerb"),
        _seconds(reader, "httpTimeout"),
        reader.boolean("nodeCacheCapable", False),
        frozenset(name for name, _ in managed),
        frozenset(name for name, is_ignored in managed if is_ignored),
        reader.boolean("ignorable", False),
        dict(tls.fields),
    )
    reader.refuse_unknown()
    return found


def _seconds(reader: Reader, name: str) -> float:
    """A duration in Go's notation, such as 1m30s; 0 or none is the default."""
    text = reader.text(name)
    if not text or text == "0":
        return DEFAULT_TIMEOUT_SECONDS
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    if not re.fullmatch(r"(\d+(\.\d+)?(h|ms|m|s))+", text):
        raise ConfigurationError(reader.at(name), f"time: invalid duration {text!r}")
    return sum(float(number) * units[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)(h|ms|m|s)", text))


def _ignoring(profile: Profile, extenders: Iterable[ExtenderConfig]) -> Profile:
    """What only extenders look at, NodeResourcesFit does not."""
    names = sorted({name for extender in extenders for name in extender.ignored_resources})
    if not names:
        return profile
    args = dict(profile.args.get("NodeResourcesFit", {}))
    args["ignoredResources"] = [*(args.get("ignoredResources") or ()), *names]
    return replace(profile, args={**profile.args, "NodeResourcesFit": args})


def _check_percentage(reader: Reader, errors: list[FieldError]) -> None:
    percentage = reader.integer("percentageOfNodesToScore", 0)
    if not 0 <= percentage <= 100:
        errors.append(invalid_value(reader.at("percentageOfNodesToScore"), percentage, "not in valid range [0-100]"))


def _profile(reader: Reader, known: Mapping[str, type[Plugin]], default_name: str, errors: list[FieldError]) -> Profile:
    name = reader.text("schedulerName", default_name)
    if not name:
        errors.append(required(reader.at("schedulerName")))
    _check_percentage(reader, errors)
    plugins = reader.child("plugins")
    sets = {}
    for point in (MULTI_POINT, *POINTS):
        if point in plugins.fields:
            sets[point] = _plugin_set(plugins.child(point), known, errors)
    plugins.known |= {MULTI_POINT, *POINTS}
    plugins.refuse_unknown()
    args: dict[str, Object] = {}
    for item in reader.items("pluginConfig"):
        plugin = item.text("name")
        if plugin not in known:
            raise ConfigurationError(item.at("name"), f'unknown plugin "{plugin}"')
        if plugin in args:
            errors.append(duplicate(item.path, plugin))
        args[plugin] = check_args(known[plugin], item.fields.get("args"), item.at("args"), errors)
        item.known.add("args")
        item.refuse_unknown()
    reader.refuse_unknown()
    return Profile(name, sets, args)


def _plugin_set(reader: Reader, known: Mapping[str, type[Plugin]], errors: list[FieldError]) -> PluginSet:
    enabled = []
    for item in reader.items("enabled"):
        name, weight = item.text("name"), item.integer("weight", 0)
        if name not in known:
            raise ConfigurationError(item.at("name"), f'unknown plugin "{name}"')
        if not 0 <= weight <= MAX_WEIGHT:
            errors.append(invalid_value(item.at("weight"), weight, f"not in valid range [0-{MAX_WEIGHT}]"))
        item.refuse_unknown()
        enabled.append((name, weight))
    disabled = set()
    for item in reader.items("disabled"):
        name = item.text("name")
        if name not in known and name != EVERY:
            raise ConfigurationError(item.at("name"), f'unknown plugin "{name}"')
        item.known.add("weight")
        item.refuse_unknown()
        disabled.add(name)
    reader.refuse_unknown()
    return PluginSet(tuple(enabled), frozenset(disabled))


def _check_names(profiles: tuple[Profile, ...], errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for number, profile in enumerate(profiles):
        if profile.scheduler_name in seen:
            errors.append(duplicate(f"profiles[{number}].schedulerName", profile.scheduler_name))
        seen.add(profile.scheduler_name)


def _check_sorting(profiles: tuple[Profile, ...], known: Mapping[str, type[Plugin]]) -> None:
    sorting = None
    for number, profile in enumerate(profiles):
        path = f"profiles[{number}]"
        points, _ = resolve(profile, known, path)
        chosen = (points["queueSort"], [profile.args.get(name) for name in points["queueSort"]])
        if sorting is not None and chosen != sorting:
            raise ConfigurationError(f"{path}.plugins.queueSort", "must be the same for all profiles")
        sorting = chosen


class Reader:
    """A mapping of a document, read field by field; what nobody asked for is unknown."""

    def __init__(self, value: Any, path: str) -> None:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ConfigurationError(path, "an object is expected")
        self.fields: Object = value
        self.path = path
        self.known: set[str] = set()

    def at(self, field_name: str) -> str:
        return f"{self.path}.{field_name}" if self.path else field_name

    def refuse_unknown(self) -> None:
        for name in self.fields:
            if name not in self.known:
                raise ConfigurationError(self.at(str(name)), f'unknown field "{name}"')

    def _get(self, name: str, default: Any, is_right: Callable[[Any], bool], expected: str) -> Any:
        self.known.add(name)
        value = self.fields.get(name)
        if value is None:
            return default
        if not is_right(value):
            raise ConfigurationError(self.at(name), f"{expected} is expected")
        return value

    def text(self, name: str, default: str = "") -> str:
        value: str = self._get(name, default, lambda value: isinstance(value, str), "a string")
        return value

    def integer(self, name: str, default: int) -> int:
        value: int = self._get(name, default, lambda value: type(value) is int, "an integer")
        return value

    def boolean(self, name: str, default: bool) -> bool:
        value: bool = self._get(name, default, lambda value: isinstance(value, bool), "a boolean")
        return value

    def child(self, name: str) -> Reader:
        self.known.add(name)
        return Reader(self.fields.get(name), self.at(name))

    def items(self, name: str) -> list[Reader]:
        found = self._get(name, [], lambda value: isinstance(value, list), "a list")
        return [Reader(value, f"{self.at(name)}[{number}]") for number, value in enumerate(found)]
