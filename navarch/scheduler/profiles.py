"""From a profile's configuration to its plugins: which of them at which extension point, with what weight and arguments.

The rules are kube-scheduler's: a plugin enabled at `multiPoint` takes part at every extension point it has, after those
enabled for a point by name; `disabled` leaves out defaults, "*" all of them; what is enabled for a point stands above
`multiPoint`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from navarch.apimachinery.errors import FieldError, Object
from navarch.scheduler.events import Hint
from navarch.scheduler.framework import POINTS, Handle, Plugin, Reuse, implements
from navarch.scheduler.isolation import Guard, described
from navarch.scheduler.plugins import DEFAULTS, IN_TREE
from navarch.scheduler.podinfo import DEFAULT_SCHEDULER_NAME
from navarch.scheduler.runtime import Framework

MULTI_POINT = "multiPoint"
EVERY = "*"


class ConfigurationError(ValueError):
    """What is wrong with a configuration, and where: ``profiles[0].plugins.score.enabled[1].name: unknown plugin "X"``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def refuse(errors: Sequence[FieldError]) -> None:
    """Raises ConfigurationError if there are any; what is said of several is said as Go says it."""
    texts = list(dict.fromkeys(error.message for error in errors))
    if len(texts) > 1:
        raise ConfigurationError("", f"[{', '.join(texts)}]")
    if texts:
        raise ConfigurationError(errors[0].field, errors[0].body)


@dataclass(frozen=True, slots=True)
class PluginSet:
    """Plugins enabled (name and weight, 0 for none given) and disabled at one extension point."""

    enabled: tuple[tuple[str, int], ...] = ()
    disabled: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Profile:
    """One entry of `profiles`."""

    scheduler_name: str = DEFAULT_SCHEDULER_NAME
    plugins: Mapping[str, PluginSet] = field(default_factory=dict)
    """By extension point."""
    args: Mapping[str, Object] = field(default_factory=dict)
    """By plugin."""


def build(
    profile: Profile, handle: Handle, known: Mapping[str, type[Plugin]] = IN_TREE, path: str = "profiles[0]"
) -> Framework:
    """Make the plugins of a profile. Raises ConfigurationError."""
    points, weights = resolve(profile, known, path)
    made: dict[str, Plugin] = {}
    for names in points.values():
        for name in names:
            if name not in made:
                made[name] = _make(known[name], profile, handle, path)
    guards = {name: Guard() for name in made if IN_TREE.get(name) is not type(made[name])}
    for name, guard in guards.items():
        try:
            _isolate(made[name], guard)
        except Exception as error:
            raise ConfigurationError(path, f'plugin "{name}" does not say what may help: {described(error)}') from error
    found = {point: [made[name] for name in names] for point, names in points.items()}
    return Framework(profile.scheduler_name, found, weights, guards)


def _isolate(plugin: Plugin, guard: Guard) -> None:
    """What a plugin is asked beside its extension points: what fails there holds up nobody."""
    kind = type(plugin)
    if kind.reuse is not Plugin.reuse:
        plugin.reuse = guard.with_default(plugin.reuse, Reuse.NEVER)  # type: ignore[method-assign]
    if kind.sort_key is not Plugin.sort_key:
        # Less than any other.
        plugin.sort_key = guard.with_default(plugin.sort_key, ())  # type: ignore[method-assign]
    if kind.events_to_register is not Plugin.events_to_register:
        events = [
            hint if hint.hint is None else replace(hint, hint=guard.with_default(hint.hint, Hint.QUEUE))
            for hint in plugin.events_to_register()
        ]
        plugin.events_to_register = lambda: events  # type: ignore[method-assign]


def _make(kind: type[Plugin], profile: Profile, handle: Handle, path: str) -> Plugin:
    args = {**kind.args_defaults, **profile.args.get(kind.name, {})}
    try:
        return kind(args, handle)
    except Exception as error:
        raise ConfigurationError(f"{path}.pluginConfig", f'initializing plugin "{kind.name}": {described(error)}') from error


def resolve(profile: Profile, known: Mapping[str, type[Plugin]], path: str) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Extension point -> names of plugins; name -> weight. Raises ConfigurationError."""
    everywhere = _merged(profile.plugins.get(MULTI_POINT, PluginSet()), f"{path}.plugins.{MULTI_POINT}")
    weights = {name: weight for name, weight in everywhere if weight}
    points: dict[str, list[str]] = {}
    for point in POINTS:
        chosen = profile.plugins.get(point, PluginSet())
        for name, weight in chosen.enabled:
            if not implements(known[name], point):
                raise ConfigurationError(f"{path}.plugins.{point}", f'plugin "{name}" does not extend {point} plugin')
            if point == "score":
                weights[name] = weight or 1
        # Those named here that multiPoint gives too come before what else it gives; the others after it.
        own = [name for name, _ in chosen.enabled]
        _refuse_twice(own, f"{path}.plugins.{point}")
        given = [name for name, _ in everywhere if not chosen.disabled & {name, EVERY}]
        overridden = [name for name in own if name in given]
        rest = [name for name in given if name not in own and implements(known[name], point)]
        points[point] = overridden + rest + [name for name in own if name not in overridden]
    for name in points["score"]:
        weights.setdefault(name, 1)
    if len(points["queueSort"]) != 1:
        raise ConfigurationError(f"{path}.plugins.queueSort", "only one queue sort plugin required for profile")
    if not points["bind"]:
        raise ConfigurationError(f"{path}.plugins.bind", "at least one bind plugin is needed for profile")
    return points, weights


def _merged(custom: PluginSet, path: str) -> list[tuple[str, int]]:
    """The default plugins, as the profile's `multiPoint` changes and continues them."""
    replaced = dict(custom.enabled)
    found: list[tuple[str, int]] = []
    if EVERY not in custom.disabled:
        for kind, weight in DEFAULTS:
            if kind.name not in custom.disabled:
                found.append((kind.name, replaced.pop(kind.name, weight)))
    found += [(name, weight) for name, weight in custom.enabled if name in replaced]
    _refuse_twice([name for name, _ in found], path)
    return found


def _refuse_twice(names: Iterable[str], path: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigurationError(path, f'plugin "{name}" already registered')
        seen.add(name)
