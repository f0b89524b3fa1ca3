"""What a cluster asks of namespaces that ask for nothing, and whom it asks nothing at all.

It is read from the file that kube-apiserver has for it: an AdmissionConfiguration with a PodSecurityConfiguration in it,
or beside it. What is unknown or cannot be is refused; nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, required
from navarch.apiserver.admission.podsecurity.levels import (
    DEFAULTS,
    LEVELS,
    PRIVILEGED,
    UNKNOWN_LEVEL,
    UNKNOWN_VERSION,
    LevelVersion,
    Policy,
    parse_version,
)

FILE_LIMIT_BYTES = 1 << 20
PLUGIN = "PodSecurity"
GROUP = "pod-security.admission.config.k8s.io"
Versions = tuple[str, tuple[str, ...]]
"""A kind, and the versions in which it is read."""
OUTER: Versions = ("AdmissionConfiguration", ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"))
INNER: Versions = ("PodSecurityConfiguration", (f"{GROUP}/v1", f"{GROUP}/v1beta1", f"{GROUP}/v1alpha1"))
FIELDS: dict[str, dict[str, type]] = {OUTER[0]: {"plugins": list}, INNER[0]: {"defaults": dict, "exemptions": dict}}
EXEMPTIONS: dict[str, Callable[[str], Collection[str]]] = {
    "namespaces": names.dns1123_label,
    "runtimeClasses": names.dns1123_subdomain,
    "usernames": lambda name: (),
}
"""Whom nothing may be asked, and what is wrong with a name of such."""


class ConfigurationError(Exception):
    """The file cannot be used; the text names it and says why."""


@dataclass(frozen=True, kw_only=True)
class PodSecurityConfiguration:
    """As the one of pod-security.admission.config.k8s.io."""

    defaults: Policy = DEFAULTS
    """Of namespaces without labels."""
    exempt_usernames: frozenset[str] = frozenset()
    exempt_namespaces: frozenset[str] = frozenset()
    exempt_runtime_classes: frozenset[str] = frozenset()

    def exempts_spec(self, spec: Object) -> bool:
        """Whether a pod is none of the standards' business, as what runs it confines it."""
        return spec.get("runtimeClassName") in self.exempt_runtime_classes


def load(path: Path) -> PodSecurityConfiguration:
    """What an AdmissionConfiguration says. Raises ConfigurationError."""
    found = PodSecurityConfiguration()
    for plugin in _checked(path, _read(path), OUTER).get("plugins") or ():
        name = plugin.get("name") if isinstance(plugin, dict) else None
        if name != PLUGIN:
            raise ConfigurationError(f"{path}: of plugins, only {PLUGIN} is configured here, not {name!r}")
        _refuse_unknown(path, plugin, ("name", "path", "configuration"), "plugins.")
        place, content = path, plugin.get("configuration")
        if content is None and plugin.get("path"):
            place = path.parent / str(plugin["path"])
            content = _read(place)
        if content is not None:
            found = _parsed(place, _checked(place, content, INNER))
    return found


def _read(path: Path) -> Any:
    import yaml

    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise ConfigurationError(f"{path} is larger than {FILE_LIMIT_BYTES} bytes")
        return yaml.safe_load(path.read_bytes())
    except OSError as error:
        text = f'unable to read admission control configuration from "{path}" [{error.strerror or error}]'
        raise ConfigurationError(text) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error


def _checked(path: Path, content: Any, versions: Versions) -> Object:
    """An object of a kind, which has no other fields than that has, each of its type."""
    kind, known = versions
    if not isinstance(content, dict) or content.get("kind") != kind or content.get("apiVersion") not in known:
        raise ConfigurationError(f"{path}: this is no {kind} of {' or '.join(known)}")
    _refuse_unknown(path, content, ("apiVersion", "kind", *FIELDS[kind]))
    for name, expected in FIELDS[kind].items():
        if not isinstance(content.get(name) or expected(), expected):
            raise ConfigurationError(f"{path}: {name}: {'a list' if expected is list else 'an object'} is expected")
    return content


def _refuse_unknown(path: Path, content: Object, known: Collection[str], place: str = "") -> None:
    for name in content:
        if name not in known:
            raise ConfigurationError(f'{path}: unknown field "{place}{name}"')


def _parsed(path: Path, content: Object) -> PodSecurityConfiguration:
    defaults, exemptions = content.get("defaults") or {}, content.get("exemptions") or {}
    modes = Policy._fields
    _refuse_unknown(path, defaults, [*modes, *(f"{mode}-version" for mode in modes)], "defaults.")
    _refuse_unknown(path, exemptions, EXEMPTIONS, "exemptions.")
    problems = [*_problems_of_defaults(defaults), *_problems_of_exemptions(exemptions)]
    if problems:
        raise ConfigurationError(f"{path}: {'; '.join(problem.message for problem in problems)}")
    policy = {mode: LevelVersion(*_asked(defaults, mode)) for mode in modes}
    exempt = {name: frozenset(exemptions.get(name) or ()) for name in EXEMPTIONS}
    return PodSecurityConfiguration(
        defaults=Policy(**policy),
        exempt_usernames=exempt["usernames"],
        exempt_namespaces=exempt["namespaces"],
        exempt_runtime_classes=exempt["runtimeClasses"],
    )


def _asked(defaults: Object, mode: str) -> tuple[Any, Any]:
    """Its level and its version, None where that is no version."""
    version = defaults.get(f"{mode}-version") or "latest"
    return defaults.get(mode) or PRIVILEGED, parse_version(version) if isinstance(version, str) else None


def _problems_of_defaults(defaults: Object) -> Iterator[FieldError]:
    for mode in ("enforce", "warn", "audit"):
        level, version = _asked(defaults, mode)
        if level not in LEVELS:
            yield invalid_value(f"defaults.{mode}", level, UNKNOWN_LEVEL)
        if version is None:
            yield invalid_value(f"defaults.{mode}-version", defaults[f"{mode}-version"], UNKNOWN_VERSION)


def _problems_of_exemptions(exemptions: Object) -> Iterator[FieldError]:
    for field, validate in EXEMPTIONS.items():
        listed = exemptions.get(field) or []
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            yield invalid_value(f"exemptions.{field}", listed, "must be a list of strings")
            continue
        for number, name in enumerate(listed):
            place = f"exemptions.{field}[{number}]"
            problems = validate(name)
            if problems:
                yield invalid_value(place, name, ", ".join(problems))
            elif not name:
                yield required(place)
            elif name in listed[:number]:
                yield duplicate(place, name)
