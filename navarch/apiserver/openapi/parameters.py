"""The parameters that operations take: everything that may stand in a path or a query."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. What stands in a path is required, what stands in a query is not."""

    name: str
    description: str
    type: str = "string"
    where: str = "query"

    @property
    def required(self) -> bool:
        return self.where == "path"


def named(kind: str) -> Parameter:
    """The name of an object of this kind, in the path."""
    return Parameter("name", f"name of the {kind}", where="path")


NAMESPACE = Parameter("namespace", "object name and auth scope, such as for teams and projects", where="path")
PROXIED_PATH = Parameter("path", "path to the resource", where="path")

PRETTY = Parameter("pretty", "Whether the output is indented for people. Tools like curl get it so unless they say otherwise.")
_DRY_RUN = Parameter("dryRun", "With All, the request is processed in every stage, but nothing is stored.")
_FIELD_VALIDATION = Parameter(
    "fieldValidation",
    "What happens to unknown and duplicate fields of the body: Ignore drops them, Warn (the default) drops them with a "
    "warning each, Strict refuses the request.",
)
_FIELD_MANAGER = Parameter(
    "fieldManager", "Who is making the changes: at most 128 printable characters. By default the first part of the user agent."
)
_APPLYING_MANAGER = Parameter(
    "fieldManager", "Who is making the changes: at most 128 printable characters. Required for apply patches."
)
_FORCE = Parameter(
    "force", "Whether an apply patch takes over fields that others manage. Other patches must not set it.", "boolean"
)

WRITE = (_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION, PRETTY)
PATCH = (_DRY_RUN, _APPLYING_MANAGER, _FIELD_VALIDATION, _FORCE, PRETTY)
DELETE = (
    _DRY_RUN,
    Parameter(
        "gracePeriodSeconds",
        "How long the object may take to end before it is deleted. 0 means at once; by default the object decides.",
        "integer",
    ),
    Parameter(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "Whether an object that cannot be read may be removed from the store unseen, whatever its finalizers say.",
        "boolean",
    ),
    Parameter(
        "orphanDependents",
        "Deprecated: say propagationPolicy, and not both. Whether dependents stay without their owner.",
        "boolean",
    ),
    PRETTY,
    Parameter(
        "propagationPolicy",
        "What becomes of dependents: Orphan leaves them, Background deletes them afterwards, Foreground deletes them before "
        "their owner.",
    ),
)

_CONTINUE = Parameter(
    "continue",
    "Where the previous part of the list ended, as its metadata says; all else must be asked as before. Too old a value is "
    "answered with 410, and a token with which the list goes on inconsistently.",
)
_SELECTION = (
    _CONTINUE,
    Parameter("fieldSelector", "Restricts the objects by their fields. By default all are meant."),
    Parameter("labelSelector", "Restricts the objects by their labels. By default all are meant."),
    Parameter("limit", "The most objects that are answered at once; metadata.continue tells how to get the rest.", "integer"),
    PRETTY,
    Parameter("resourceVersion", "From which version on the request may be answered; what it means depends on the request."),
    Parameter("resourceVersionMatch", "How resourceVersion is meant in a list: Exact or NotOlderThan."),
    Parameter(
        "sendInitialEvents",
        "Whether a watch begins with all objects there are, followed by a bookmark. Wants resourceVersionMatch=NotOlderThan.",
        "boolean",
    ),
    Parameter("shardSelector", "Restricts the objects to a range of hashes. Alpha: only with the feature ShardedListAndWatch."),
    Parameter("timeoutSeconds", "How long the request may take, whatever happens meanwhile.", "integer"),
)
LIST = (
    Parameter("allowWatchBookmarks", "Whether the server may send bookmarks, as it sees fit, during a watch.", "boolean"),
    *_SELECTION,
    Parameter("watch", "Whether changes are streamed as they happen instead of a list.", "boolean"),
)
DELETE_COLLECTION = tuple({parameter.name: parameter for parameter in (*DELETE, *_SELECTION)}.values())

_EXEC_CONTAINER = Parameter("container", "In which container. By default the pod's only one.")
_STREAMS = (
    Parameter("stderr", "Whether standard error is connected.", "boolean"),
    Parameter("stdin", "Whether standard input is connected. By default it is not.", "boolean"),
    Parameter("stdout", "Whether standard output is connected.", "boolean"),
    Parameter("tty", "Whether there is a terminal. By default there is none.", "boolean"),
)
CONNECT = {
    "exec": (
        Parameter("command", "What is executed, argument by argument: no shell is between."),
        _EXEC_CONTAINER,
        *_STREAMS,
    ),
    "attach": (_EXEC_CONTAINER, *_STREAMS),
    "portforward": (Parameter("ports", "The ports to forward. Required over WebSockets.", "integer"),),
    "proxy": (Parameter("path", "The path, with query, that is asked of what is behind the proxy."),),
}
LOG = (
    Parameter("container", "Whose log. By default that of the pod's only container."),
    Parameter("follow", "Whether the log is streamed on as it grows.", "boolean"),
    Parameter(
        "insecureSkipTLSVerifyBackend",
        "Whether the kubelet's certificate is not checked; the log might be anyone's.",
        "boolean",
    ),
    Parameter("limitBytes", "After how many bytes the log is cut.", "integer"),
    PRETTY,
    Parameter("previous", "Whether the log of the container's previous run is meant.", "boolean"),
    Parameter("sinceSeconds", "How many seconds before now the log begins.", "integer"),
    Parameter("stream", "Which of the container's outputs: All, Stdout or Stderr. By default All."),
    Parameter("tailLines", "How many lines before its end the log begins.", "integer"),
    Parameter("timestamps", "Whether each line begins with its time, in RFC 3339.", "boolean"),
)
