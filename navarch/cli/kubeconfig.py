"""The administrator's kubeconfig: written with everything embedded, and merged into the user's own.

Merging replaces what is called `navarch` (cluster, user, context) and leaves the rest as it is: other entries, unknown fields,
the file's owner and mode, its place behind a symbolic link. Comments do not survive YAML.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from navarch.cli.cluster import Cluster, CommandError
from navarch.component import kubeconfig as text
from navarch.component.kubeconfig import NAME

_STRING_TAG = "tag:yaml.org,2002:str"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"


def write(cluster: Cluster) -> bool:
    """Write the cluster's own kubeconfig; whether it changed."""
    text = render(cluster)
    file = cluster.kubeconfig
    with contextlib.suppress(FileNotFoundError):
        if file.read_text() == text:
            return False
    _replace(file, text, mode=0o600)
    return True


def render(cluster: Cluster) -> str:
    """The kubeconfig of the administrator, as YAML."""
    return text.render(cluster.pki_dir, cluster.server_url)


def merge(cluster: Cluster, target: Path) -> None:
    """Put the cluster into the user's kubeconfig and make it the current context."""
    own = _load(cluster.kubeconfig.read_text(), cluster.kubeconfig)
    with _locked(target):
        try:
            present = _load(target.read_text(), target)
        except FileNotFoundError:
            present = {}
        _replace(target, _dump(merged(present, own)), mode=0o600)


def remove(target: Path) -> bool:
    """Take the cluster out of the user's kubeconfig; whether it was there."""
    if not target.is_file():
        return False
    with _locked(target):
        before = _load(target.read_text(), target)
        after = without(before)
        if after == before:
            return False
        _replace(target, _dump(after), mode=0o600)
    return True


def merged(present: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`present` with the entries and the current context of `own`."""
    result = {"apiVersion": "v1", "kind": "Config", **present}
    for section in ("clusters", "users", "contexts"):
        result[section] = [*_others(present, section), *own[section]]
    result["current-context"] = own["current-context"]
    return result


def without(present: dict[str, Any]) -> dict[str, Any]:
    """`present` without the cluster's entries."""
    result = dict(present)
    for section in ("clusters", "users", "contexts"):
        if section in present:
            result[section] = _others(present, section)
    if present.get("current-context") == NAME:
        result["current-context"] = ""
    return result


def users_file(environment: dict[str, str], home: Path) -> Path:
    """The file that kubectl would write to: the first of $KUBECONFIG, else ~/.kube/config."""
    for part in environment.get("KUBECONFIG", "").split(os.pathsep):
        if part:
            return Path(part)
    return home / ".kube" / "config"


def _others(config: dict[str, Any], section: str) -> list[Any]:
    return [entry for entry in config.get(section) or [] if not (isinstance(entry, dict) and entry.get("name") == NAME)]


def _load(text: str, file: Path) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Dates stay the text that they are, as in kubectl."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        content = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise CommandError(f"{file} is not YAML, so nothing was merged into it: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise CommandError(f"{file} is not a kubeconfig, so nothing was merged into it")
    return content


def _dump(config: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(config, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1 << 30)


def _replace(file: Path, text: str, *, mode: int) -> None:
    # A link to the file stays a link.
    file = file.resolve()
    owner: tuple[int, int] | None = None
    with contextlib.suppress(FileNotFoundError):
        status = file.stat()
        mode, owner = status.st_mode & 0o777, (status.st_uid, status.st_gid)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.navarch")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        stream.write(text)
    temporary.chmod(mode)
    if owner is not None:
        os.chown(temporary, *owner)
    temporary.replace(file)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold kubectl's own lock on a kubeconfig: a file beside it (client-go, clientcmd/loader.go)."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = file.with_name(f"{file.name}.lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0))
    except FileExistsError as error:
        raise CommandError(f"{file} is being written by somebody else; if nobody does, remove {lock}") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
