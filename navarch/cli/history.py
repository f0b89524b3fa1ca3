"""`navarch history`: the versions of an object, who wrote them, and what each changed; over the API, as the administrator."""

from __future__ import annotations

import asyncio
import difflib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import yaml

from navarch.apimachinery.errors import Object, StatusError
from navarch.cli import differences
from navarch.cli.cluster import Cluster, CommandError

T = TypeVar("T")
PATH = "/navarch/v1/history"
AGENT = "navarch-cli"
TIMEOUT_SECONDS = 60.0
UNKNOWN = "-"
NO_AUTHORS = "The objects are in etcd, which keeps versions until it is compacted, and not who wrote them, nor when."


@dataclass(frozen=True, slots=True)
class Named:
    """An object by its name."""

    kind: Any
    namespace: str
    name: str

    @property
    def query(self) -> dict[str, str]:
        asked = {"group": self.kind.group, "resource": self.kind.plural, "name": self.name}
        return {**asked, "namespace": self.namespace} if self.namespace else asked

    def __str__(self) -> str:
        return f"{self.kind.resource} {self.namespace}/{self.name}" if self.namespace else f"{self.kind.resource} {self.name}"


def named(kind_name: str, name: str) -> Named:
    """An object as people name it: ``deploy``, ``Deployment`` or ``deployments.apps``; ``[NS/]NAME``. Raises CommandError."""
    from navarch.api import registry

    wanted = kind_name.lower()
    for kind in registry.kinds():
        if wanted in (kind.plural, kind.kind.lower(), kind.resource, *kind.short_names):
            break
    else:
        raise CommandError(f"there is no kind {kind_name}")
    kind = kind.stored
    namespace, slash, rest = name.partition("/")
    if not kind.namespaced:
        if slash:
            raise CommandError(f"{kind.plural} are in no namespace: leave out {namespace}/")
        return Named(kind, "", name)
    return Named(kind, namespace, rest) if slash else Named(kind, "default", name)


@asynccontextmanager
async def transport(cluster: Cluster) -> AsyncIterator[Any]:
    """The API, as the administrator. Raises CommandError."""
    from navarch.client.http import from_kubeconfig

    try:
        found = from_kubeconfig(cluster.kubeconfig, user_agent=AGENT)
    except FileNotFoundError as error:
        raise CommandError("the cluster was never up: navarch up") from error
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield found
    except (ConnectionError, TimeoutError) as error:
        raise CommandError(f"{cluster.server_url} does not answer ({error}): navarch up") from error
    except StatusError as error:
        raise CommandError(error.message) from error
    finally:
        await found.close()


def with_api(cluster: Cluster, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with transport(cluster) as api:
            return await work(api)

    return asyncio.run(run())


async def versions(api: Any, target: Named) -> list[Object]:
    """All versions known, oldest first. Raises CommandError where there is none."""
    answer = await api.request("GET", PATH, query=target.query)
    if not answer["knowsAuthors"]:
        print(NO_AUTHORS, file=sys.stderr)
    found: list[Object] = answer["versions"]
    if not found:
        raise CommandError(f"nothing is known of {target}")
    return found


def history(cluster: Cluster, target: Named, *, diff: Sequence[int] | None, revision: int | None) -> int:
    """Print a table; with `diff` (two revisions, or none for all) what was changed; with `revision` that version, as YAML."""
    found = with_api(cluster, lambda api: versions(api, target))
    if revision is not None:
        print(as_yaml(_version(found, target, revision)["object"]), end="")
    elif diff is None:
        print_table(found)
    elif diff:
        print(unified(*(_version(found, target, number) for number in diff)), end="")
    else:
        for before, after in zip([None, *found[:-1]], found, strict=True):
            print(unified(before, after), end="")
    return 0


def purge(cluster: Cluster, target: Named) -> int:
    """Remove what was in earlier versions, and say where it may still be."""
    answer = with_api(cluster, lambda api: api.request("DELETE", PATH, query=target.query))
    count = answer["purged"]
    print(f"{target}: {count} earlier version{'' if count == 1 else 's'} purged, in all files of the database.")
    print("The present one is not touched. What was purged may still be in backups, in memory, and in free blocks of the disk.")
    return 0


def _version(found: list[Object], target: Named, revision: int) -> Object:
    for version in found:
        if version["revision"] == revision:
            return version
    raise CommandError(f"revision {revision} of {target} is not known; known are {found[0]['revision']} and later ones")


def print_table(found: list[Object]) -> None:
    rows = [("REVISION", "TIME", "WHAT", "USER", "MANAGER", "USER AGENT", "CHANGED")]
    before: Object | None = None
    for version in found:
        rows.append(
            (str(version["revision"]), told_time(version), version["type"].lower(), *who(version), what(before, version))
        )
        before = version
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def who(version: Object) -> tuple[str, str, str]:
    agent = version["userAgent"]
    manager = version["fieldManager"] or agent.partition("/")[0]
    return version["user"] or UNKNOWN, manager or UNKNOWN, agent or UNKNOWN


def told_time(version: Object) -> str:
    milliseconds = version["timeMilliseconds"]
    if milliseconds is None:
        return UNKNOWN
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def what(before: Object | None, version: Object) -> str:
    if before is None or version["type"] != "MODIFIED":
        return ""
    return differences.in_short(differences.changed(_shown(before), _shown(version)))


def _shown(version: Object | None) -> Object:
    """Without what changes with every write."""
    if version is None or version["type"] == "DELETED":
        return {}
    obj = version["object"]
    left_out = ("managedFields", "resourceVersion")
    return {**obj, "metadata": {name: value for name, value in obj["metadata"].items() if name not in left_out}}


def unified(before: Object | None, after: Object) -> str:
    """A unified diff of two versions as YAML, with who made the later one above it."""
    old, new = (_shown(version) for version in (before, after))
    lines = difflib.unified_diff(
        as_yaml(old).splitlines(keepends=True) if old else [],
        as_yaml(new).splitlines(keepends=True) if new else [],
        f"revision {before['revision']}" if before is not None else "nothing",
        f"revision {after['revision']}",
    )
    text = "".join(lines)
    user, manager, _ = who(after)
    return f"# {after['type'].lower()} {told_time(after)} by {user} with {manager}\n{text}" if text else ""


def as_yaml(obj: Object) -> str:
    dumped: str = yaml.safe_dump(obj, sort_keys=True, allow_unicode=True, default_flow_style=False)
    return dumped
