"""`navarch undo`: an object as it was, or without what a user agent did since a time; ordinary writes over the API.

First all is read and planned; whatever cannot be taken back is told, and then nothing is done. The whole plan is tried as a dry
run before the first write, so that validation and admission have had their say. Each write names the version it was planned
on: what changes meanwhile is refused and told, not overwritten. Status is its controllers' and is not put back. An object that
was deleted is made anew: with a new uid, so that what referred to the old one does not find it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from navarch.apimachinery.errors import Object, StatusError
from navarch.cli import differences
from navarch.cli.cluster import Cluster, CommandError
from navarch.cli.history import NO_AUTHORS, PATH, Named, versions, with_api

MANAGER = "navarch-undo"
_SPAN = re.compile(r"(\d+)([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Objects that others are in or refer to come back first, and go last.
_FIRST = ("customresourcedefinitions", "namespaces", "serviceaccounts", "secrets", "configmaps")


@dataclass(frozen=True, slots=True)
class Step:
    """One write that is to be made."""

    target: Named
    method: str
    """POST, PUT or DELETE."""
    body: Object
    paths: tuple[differences.Path, ...] = ()
    """What it changes of an object that stays."""

    def told(self) -> str:
        if self.method == "POST":
            return f"make {self.target} again"
        if self.method == "DELETE":
            return f"delete {self.target}"
        return f"change {self.target}: {differences.in_short(list(self.paths))}"


class NotPossibleError(Exception):
    """It cannot be taken back; the text says why."""


def undo(cluster: Cluster, target: Named, to: int | None, *, dry_run: bool) -> int:
    """Put one object back as it was at revision `to`, or before its last change."""

    async def work(api: Any) -> int:
        found = await versions(api, target)
        try:
            step = plan_one(target, found, to)
        except NotPossibleError as error:
            raise CommandError(f"{target}: {error}") from error
        return await _carry_out(api, [step], dry_run=dry_run)

    return with_api(cluster, work)


def undo_agent(cluster: Cluster, agent: str, since: datetime, *, dry_run: bool) -> int:
    """Take back everything that user agents that begin so have changed since a time."""

    async def work(api: Any) -> int:
        query = {"userAgent": agent, "since": str(int(since.timestamp() * 1000))}
        answer = await api.request("GET", PATH, query=query)
        if not answer["knowsAuthors"]:
            raise CommandError(NO_AUTHORS)
        if not answer["isComplete"]:
            raise CommandError("these are too many changes for one go: name a later time")
        from navarch.api import registry

        kinds = {(kind.group, kind.plural): kind for kind in registry.kinds() if kind.stored_as is None}
        first: dict[Named, int] = {}
        for change in answer["versions"]:
            target = Named(kinds[change["group"], change["resource"]], change["namespace"], change["name"])
            first.setdefault(target, change["revision"])
        steps, problems = [], []
        for target, revision in first.items():
            try:
                step = plan_without(target, await versions(api, target), agent, revision)
            except NotPossibleError as error:
                problems.append(f"{target}: {error}")
            else:
                if step is not None:
                    steps.append(step)
        if problems:
            raise CommandError("\n".join(["nothing was changed:", *problems]))
        if not steps:
            print("There is nothing to take back.")
            return 0
        return await _carry_out(api, in_order(steps), dry_run=dry_run)

    return with_api(cluster, work)


# Planning


def plan_one(target: Named, found: Sequence[Object], to: int | None) -> Step:
    """Raises NotPossibleError."""
    now = found[-1]
    if to is not None:
        wanted = next((version for version in found if version["revision"] == to), None)
        if wanted is None:
            raise NotPossibleError(f"revision {to} is not known")
        if wanted["type"] == "DELETED":
            raise NotPossibleError(f"at revision {to} it was deleted")
    elif now["type"] == "DELETED":
        # What it was while it was being deleted is nobody's wish: finalizers go one by one then.
        wanted = next((version for version in reversed(found[:-1]) if _is_alive(version)), None)
    else:
        # What only its controllers have written does not count.
        present = differences.content(now["object"])
        wanted = next((version for version in reversed(found) if _content(version) != present), None)
        if wanted is not None and wanted["type"] == "DELETED":
            raise NotPossibleError("it was not there before; to have it gone, delete it")
    if wanted is None:
        raise NotPossibleError("no earlier version is known")
    if now["type"] == "DELETED":
        return _made_again(target, wanted["object"])
    step = _changed(target, now["object"], differences.content(wanted["object"]))
    if step is None:
        raise NotPossibleError("that is how it is already")
    return step


def plan_without(target: Named, found: Sequence[Object], agent: str, first: int) -> Step | None:
    """What takes back the changes that an agent made from revision `first` on, but no others; None if nothing is left of them.

    Raises NotPossibleError where others have changed the same since.
    """
    index = next((number for number, version in enumerate(found) if version["revision"] >= first), None)
    if index is None or found[index]["revision"] != first:
        raise NotPossibleError("its versions are not known any more")
    if index == 0 and found[0]["type"] != "ADDED":
        raise NotPossibleError("what it was before is not known any more")
    before = _content(found[index - 1]) if index else {}
    now = found[-1]
    theirs: list[differences.Path] = []
    mine: list[differences.Path] = []
    last: Object = before
    last_of_others: Object | None = None
    for version in found[index:]:
        state = _content(version)
        paths = differences.changed(last, state)
        if version["userAgent"].startswith(agent):
            mine += paths
        else:
            theirs += paths
            last_of_others = version if paths else last_of_others
        last = state
    present = _content(now)
    if present == before:
        return None
    if before and present:
        mine = sorted(path for path in set(mine) if path in differences.changed(before, present))
        disputed = differences.overlap(mine, theirs)
        if disputed:
            raise NotPossibleError(f"{_name(last_of_others)} has changed {differences.in_short(disputed)} since")
        return _changed(target, now["object"], differences.taken_back(present, before, mine))
    if last_of_others is not None and not _is_own(last_of_others):
        raise NotPossibleError(f"{_name(last_of_others)} has changed it since")
    if not before:
        preconditions = {
            "uid": now["object"]["metadata"]["uid"],
            "resourceVersion": now["object"]["metadata"]["resourceVersion"],
        }
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        return Step(target, "DELETE", {**options, "propagationPolicy": "Background"})
    return _made_again(target, found[index - 1]["object"])


def _content(version: Object) -> Object:
    return {} if version["type"] == "DELETED" else differences.content(version["object"])


def _is_alive(version: Object) -> bool:
    return version["type"] != "DELETED" and "deletionTimestamp" not in version["object"]["metadata"]


def _is_own(version: Object) -> bool:
    """Whether it was the cluster itself: controllers work on whatever there is."""
    return bool(version["user"].startswith("system:"))


def _name(version: Object | None) -> str:
    if version is None:
        return "somebody else"
    return f"{version['userAgent'].partition('/')[0] or version['fieldManager'] or version['user'] or 'somebody'}"


def _changed(target: Named, now: Object, wanted: Object) -> Step | None:
    paths = differences.changed(differences.content(now), wanted)
    if not paths:
        return None
    metadata = now["metadata"]
    kept = {name: metadata[name] for name in ("uid", "resourceVersion", "creationTimestamp") if name in metadata}
    body = {**wanted, "metadata": {**wanted["metadata"], **kept}}
    if "status" in now:
        body["status"] = now["status"]
    return Step(target, "PUT", body, tuple(paths))


def _made_again(target: Named, obj: Object) -> Step:
    return Step(target, "POST", differences.content(obj))


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Objects that others need come back first and go last."""

    def rank(step: Step) -> int:
        plural = step.target.kind.plural
        return _FIRST.index(plural) if plural in _FIRST else len(_FIRST)

    deleting = [step for step in steps if step.method == "DELETE"]
    others = [step for step in steps if step.method != "DELETE"]
    return sorted(others, key=rank) + sorted(deleting, key=rank, reverse=True)


# Doing


async def _carry_out(api: Any, steps: Sequence[Step], *, dry_run: bool) -> int:
    problems = []
    anew = {step.target.name for step in steps if step.method == "POST" and step.target.kind.plural == "namespaces"}
    for step in steps:
        try:
            # What will be in a namespace that is not there yet cannot be tried.
            if step.target.namespace not in anew:
                await _write(api, step, dry_run=True)
        except StatusError as error:
            problems.append(f"cannot {step.told()}: {error.message}")
    if problems:
        raise CommandError("\n".join(["nothing was changed:", *problems]))
    for number, step in enumerate(steps):
        if dry_run:
            print(f"would {step.told()}")
            continue
        try:
            await _write(api, step)
        except (StatusError, ConnectionError) as error:
            left = "\n".join(f"not done: {other.told()}" for other in steps[number:])
            raise CommandError(f"{error}\n{left}") from error
        print(f"done: {step.told()}")
    return 0


async def _write(api: Any, step: Step, *, dry_run: bool = False) -> None:
    from navarch.client.client import resource_path

    target = step.target
    name = "" if step.method == "POST" else target.name
    query = {"dryRun": "All"} if dry_run else {}
    if step.method != "DELETE":
        query["fieldManager"] = MANAGER
    await api.request(step.method, resource_path(target.kind.resource, target.namespace, name), query=query, body=step.body)


def parse_since(text: str, now: datetime) -> datetime:
    """A time as people give it: ``30s``, ``10m``, ``2h``, ``1d`` ago, or in RFC 3339. Raises CommandError."""
    span = _SPAN.match(text)
    if span:
        return now - timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no time: give 10m, 2h, 1d, or 2026-01-02T03:04:05Z") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
