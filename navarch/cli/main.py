"""The `navarch` command: reads its arguments and loads only what the one command needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from navarch import __version__
from navarch.cli import storesettings
from navarch.cli.cluster import DATA_DIR, REPLICAS_LIMIT, CommandError, require, with_replicas, with_store
from navarch.cli.storesettings import StoreSettings
from navarch.storage.etcd.config import EtcdConfig, parse

KUBERNETES_VERSION = "v1.36"
SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
Command = Callable[[argparse.Namespace], int]

PORT_MAX = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parsed = parser().parse_args(arguments)
    _extend_path()
    command: Command = parsed.command
    try:
        return command(parsed)
    except CommandError as error:
        print(f"navarch: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"navarch: {error.filename}: {error.strerror}; navarch needs root (sudo)", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has had enough.
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("navarch: interrupted", file=sys.stderr)
        return 130


def _extend_path() -> None:
    """Programs that only root uses are found also where PATH is a plain user's (su without a dash)."""
    path = os.environ.get("PATH", os.defpath)
    missing = [directory for directory in SYSTEM_PATH if directory not in path.split(os.pathsep)]
    os.environ["PATH"] = os.pathsep.join([path, *missing])


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="navarch", description="A container orchestrator that speaks the Kubernetes API.")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_cluster_commands(commands)
    _add_history_commands(commands)
    _add_encryption_commands(commands)
    _add_node_commands(commands)
    _add_image_commands(commands)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(command=_version)
    return top


Subparsers = argparse._SubParsersAction  # the only name argparse gives it


def _add_cluster_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    up = _command(commands, "up", _up, "make the cluster run on this machine, and wait until it is ready")
    up.add_argument("--nodes", type=int, metavar="N", help="how many nodes a new cluster has (default: 1, this machine itself)")
    up.add_argument("--run-dir", type=Path, metavar="DIR", help="sockets and pid files (default: /run/navarch)")
    up.add_argument("--port", type=int, help="the API server's port (default: 6443)")
    up.add_argument("--merge-kubeconfig", action="store_true", help="also make it the current context of your own kubeconfig")
    up.add_argument("-v", "--verbose", action="count", default=0, help="more in the logs")
    _add_datastore_options(up)
    storesettings.add_options(up)
    _add_configuration_options(up)
    _command(commands, "down", _down, "stop everything; the cluster's state is kept")
    _command(commands, "status", _status, "show what runs")
    reset = _command(commands, "reset", _reset, "stop everything and delete the cluster with all its state")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    backup = _command(commands, "backup", _backup, "write the cluster's state into a file, while it runs")
    backup.add_argument("file", type=Path, metavar="FILE", help="what to write; it holds every secret of the cluster")
    restore = _command(commands, "restore", _restore, "make the cluster of a backup the one on this machine")
    restore.add_argument("file", type=Path, metavar="FILE", help="what `navarch backup` wrote")
    _command(commands, "check", _check, "look for damage in the cluster's database")
    testserver = commands.add_parser(
        "testserver",
        help="serve a cluster in memory, for tests; no root, no containers",
        description="Serve a cluster in memory until stopped: a real control plane, and nodes that pretend to run containers.",
    )
    testserver.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE", help="written once the API answers")
    testserver.add_argument("--port", type=int, default=0, help="the API server's port (default: any that is free)")
    testserver.add_argument("--nodes", type=int, default=3, metavar="N", help="how many pretended nodes (default: 3)")
    testserver.add_argument("--api-only", action="store_true", help="no controllers, no scheduler, no nodes")
    testserver.add_argument("--stages", type=Path, nargs="+", default=(), metavar="FILE", help=_STAGES_HELP)
    testserver.add_argument("-v", "--verbose", action="count", default=0, help="more in the log")
    testserver.set_defaults(command=_testserver)
    _add_simulate_command(commands)
    _command(commands, "kubeconfig", _kubeconfig, "print the administrator's kubeconfig")
    server = _command(commands, "server", _server, "run the control plane in the foreground (`up` does this)")
    _add_process_options(server)
    _add_datastore_options(server)
    storesettings.add_options(server)
    server.add_argument("--replica-of", type=Path, help=argparse.SUPPRESS)
    _add_configuration_options(server)


_STAGES_HELP = "Stages (kwok.x-k8s.io/v1alpha1) that say what pods and nodes go through; files or directories"


def _add_simulate_command(commands: Subparsers[argparse.ArgumentParser]) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="run a scenario on a simulated cluster, in no time and the same way each time",
        description="Run a scenario on a simulated cluster. Fails if an expectation is not met or a checker finds something.",
    )
    simulate.add_argument("scenario", nargs="?", metavar="SCENARIO", help="a file (docs/simulation.md), or a name of --list")
    simulate.add_argument("--list", action="store_true", help="tell which scenarios there are already")
    simulate.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is left to chance (default: 0)")
    simulate.add_argument("--nodes", type=int, metavar="N", help="how many nodes (default: what the scenario says)")
    simulate.add_argument("--for", dest="duration", metavar="TIME", help="how long, such as 24h (default: as it says)")
    simulate.add_argument("--log", type=Path, metavar="FILE", help="write every change, action and fault there, in a line each")
    simulate.add_argument("--report", type=Path, metavar="FILE", help="write what happened there; as a page if it is .html")
    simulate.add_argument("--stages", type=Path, nargs="+", default=(), metavar="FILE", help=_STAGES_HELP)
    simulate.add_argument("--explore", type=int, metavar="N", help="run N seeds, and make the first that fails small")
    simulate.add_argument("--processes", type=int, metavar="N", help="with --explore: at once (default: as there are cores)")
    simulate.add_argument("-v", "--verbose", action="count", default=0, help="more in the log of navarch itself")
    simulate.set_defaults(command=_simulate)


def _add_history_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    history = _command(commands, "history", _history, "list the versions of an object: who wrote them, when, what changed")
    history.add_argument("words", metavar="purge", nargs="?", help="remove what is in its earlier versions, for good")
    history.add_argument("kind", metavar="KIND", help="such as deploy, Deployment or deployments.apps")
    history.add_argument("name", metavar="[NS/]NAME", help="the object (default namespace: default)")
    shown = history.add_mutually_exclusive_group()
    shown.add_argument(
        "--diff",
        type=int,
        nargs="*",
        metavar="REVISION",
        help="what changed between two revisions, or (none given) with each",
    )
    shown.add_argument("--revision", type=int, metavar="N", help="show one version (goes together with -o yaml)")
    history.add_argument("-o", "--output", choices=("yaml",), help="how one version is shown")
    explain = _command(commands, "explain", _explain, "say why a pod is where it is, or what keeps it from being placed")
    explain.add_argument("kind", choices=("pod",), metavar="pod")
    explain.add_argument("name", metavar="[NS/]NAME", help="the pod (default namespace: default)")
    explain.add_argument("--nodes", action="store_true", help="every node, with what each plugin says of it")
    explain.add_argument("-o", "--output", choices=("json",), help="everything, for programs")
    undo = _command(commands, "undo", _undo, "put an object back as it was, or everything that a user agent did")
    undo.add_argument("kind", metavar="KIND", nargs="?", help="such as deploy, Deployment or deployments.apps")
    undo.add_argument("name", metavar="[NS/]NAME", nargs="?", help="the object (default namespace: default)")
    undo.add_argument("--to", type=int, metavar="REVISION", help="as it was at this revision (default: before its last change)")
    undo.add_argument("--user-agent", metavar="TEXT", help="take back what user agents that begin so have changed")
    undo.add_argument("--since", metavar="TIME", help="from when on: 10m, 2h, 1d ago, or 2026-01-02T03:04:05Z")
    undo.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _add_encryption_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    encryption = commands.add_parser("encryption", help="show what is encrypted at rest, or change the key")
    actions = encryption.add_subparsers(title="actions", metavar="ACTION", required=True)
    _command(actions, "status", _encryption_status, "show what is encrypted at rest, and how")
    _command(actions, "rotate", _encryption_rotate, "make a new key and store everything by it")


def _add_node_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    node = commands.add_parser("node", help="stop, start, cut off or heal one node; run it in the foreground")
    actions = node.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, text in (
        ("stop", "stop a node with all its containers, as when it loses power"),
        ("start", "start a node that was stopped"),
        ("cut", "take the node's network cable out"),
        ("heal", "put the node's network cable in again"),
    ):
        action = _command(actions, name, _node_action, text)
        action.add_argument("name", metavar="NAME", help="the node's name")
        action.set_defaults(action=name)
    run = _command(actions, "run", _node_run, "run the node in the foreground (`up` does this)")
    run.add_argument("name", metavar="NAME", nargs="?", help="the node's name (not needed if there is only one)")
    _add_process_options(run)


def _add_image_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    image = commands.add_parser("image", help="put images into the nodes without a registry")
    actions = image.add_subparsers(title="actions", metavar="ACTION", required=True)
    load = _command(actions, "load", _image_load, "load an OCI layout or a docker-archive into all nodes")
    load.add_argument("file", type=Path, metavar="FILE", help="the archive, or the directory of an OCI layout")
    load.add_argument("--tag", default="", metavar="NAME", help="name its only image anew")
    build = _command(actions, "build", _image_build, "make an image of a directory's files and load it into all nodes")
    build.add_argument("directory", type=Path, metavar="DIR", help="what the image's root directory holds")
    build.add_argument("--tag", required=True, metavar="NAME", help="the image's name, such as shop/web:1")
    build.add_argument("--entrypoint", nargs="+", default=[], metavar="WORD", help="the program that containers run")
    build.add_argument("--cmd", nargs="+", default=[], metavar="WORD", help="its arguments unless a pod gives others")
    build.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="an environment variable (repeatable)")
    build.add_argument("--workdir", default="/", metavar="DIR", help="the working directory")
    build.add_argument("--user", default="", metavar="USER[:GROUP]", help="who the program runs as (default: root)")
    build.add_argument("--expose", action="append", default=[], metavar="PORT/PROTOCOL", help="a port, for information")
    build.add_argument("--compress", action="store_true", help="compress the layer (smaller, slower)")
    _command(actions, "ls", _image_ls, "list the images in the nodes")


def _command(commands: Subparsers[argparse.ArgumentParser], name: str, command: Command, text: str) -> argparse.ArgumentParser:
    added = commands.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
    added.add_argument("--data-dir", type=Path, default=DATA_DIR, metavar="DIR", help=f"all of its state (default: {DATA_DIR})")
    added.set_defaults(command=command)
    return added


def _add_process_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--progress-fd", type=int, help=argparse.SUPPRESS)
    command.add_argument("-v", "--verbose", action="count", default=0, help="more in the log")


def _add_datastore_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--datastore",
        metavar="URL",
        help="keep the API's objects in etcd, which other servers may share: etcd://HOST:PORT[,HOST:PORT...], or etcds:// "
        "for TLS (default: a file in the data directory)",
    )
    command.add_argument("--datastore-cafile", type=Path, metavar="FILE", help="who has signed etcd's certificates")
    command.add_argument("--datastore-certfile", type=Path, metavar="FILE", help="the client certificate for etcd")
    command.add_argument("--datastore-keyfile", type=Path, metavar="FILE", help="its key")
    command.add_argument(
        "--leader-elect", action="store_true", help="let controllers and scheduler compete for leases (always so with etcd)"
    )
    command.add_argument(
        "--read-replicas",
        type=int,
        metavar="N",
        help="so many processes answer reads and watches beside the server, on the same port (default: 0)",
    )


def _add_configuration_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--admission-control-config-file",
        type=Path,
        metavar="FILE",
        help="an AdmissionConfiguration: what PodSecurity asks of namespaces without labels, and whom it asks nothing",
    )
    command.add_argument(
        "--scheduler-config", type=Path, metavar="FILE", help="the scheduler's configuration (KubeSchedulerConfiguration)"
    )
    command.add_argument(
        "--scheduler-plugin",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="a Python file with plugins for the scheduler, which the configuration may enable (may be repeated)",
    )


def _admission_file(parsed: argparse.Namespace) -> Path | None:
    """The configuration of admission plugins. Raises CommandError for what cannot be used."""
    path: Path | None = parsed.admission_control_config_file
    if path is None:
        return None
    from navarch.apiserver.admission.podsecurity import configuration

    try:
        configuration.load(path)
    except configuration.ConfigurationError as error:
        raise CommandError(str(error)) from error
    return path.absolute()


def _scheduler_files(parsed: argparse.Namespace) -> tuple[Path | None, tuple[Path, ...]]:
    """The configuration and the plugins. Raises CommandError for what cannot be used."""
    config: Path | None = parsed.scheduler_config.absolute() if parsed.scheduler_config else None
    plugins = tuple(path.absolute() for path in parsed.scheduler_plugin)
    if config is not None or plugins:
        # Not before it is needed: it takes NumPy with it.
        from navarch.scheduler.profiles import ConfigurationError
        from navarch.scheduler.scheduler import load

        try:
            load(config, plugins)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
    return config, plugins


def _datastore(parsed: argparse.Namespace) -> EtcdConfig | None:
    """Raises CommandError for what cannot be meant."""
    files = [parsed.datastore_cafile, parsed.datastore_certfile, parsed.datastore_keyfile]
    if parsed.datastore is None:
        if any(files):
            raise CommandError("certificates for etcd go together with --datastore etcds://HOST:PORT")
        return None
    try:
        return parse(parsed.datastore, *(file.absolute() if file else None for file in files))
    except ValueError as error:
        raise CommandError(str(error)) from error


def _store(parsed: argparse.Namespace) -> StoreSettings:
    """Raises CommandError for what cannot be meant."""
    try:
        return storesettings.parsed(parsed)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _read_replicas(parsed: argparse.Namespace) -> int | None:
    """Raises CommandError."""
    count: int | None = parsed.read_replicas
    if count is not None and not 0 <= count <= REPLICAS_LIMIT:
        raise CommandError(f"--read-replicas must be from 0 to {REPLICAS_LIMIT}, not {count}")
    return count


def _data_dir(parsed: argparse.Namespace) -> Path:
    path: Path = parsed.data_dir
    return path.absolute()


def _up(parsed: argparse.Namespace) -> int:
    from navarch.cli.up import Options, up

    scheduler_config, scheduler_plugins = _scheduler_files(parsed)
    return up(
        Options(
            data_dir=_data_dir(parsed),
            run_dir=parsed.run_dir.absolute() if parsed.run_dir else None,
            port=parsed.port,
            nodes=parsed.nodes,
            merge_kubeconfig=parsed.merge_kubeconfig,
            verbosity=parsed.verbose,
            datastore=_datastore(parsed),
            leader_elect=parsed.leader_elect,
            store=_store(parsed),
            read_replicas=_read_replicas(parsed),
            scheduler_config=scheduler_config,
            scheduler_plugins=scheduler_plugins,
            admission_config=_admission_file(parsed),
        )
    )


def _down(parsed: argparse.Namespace) -> int:
    from navarch.cli import down

    _require_root()
    return down.down(_data_dir(parsed))


def _reset(parsed: argparse.Namespace) -> int:
    from navarch.cli import down

    _require_root()
    data_dir = _data_dir(parsed)
    if not parsed.yes:
        if not sys.stdin.isatty():
            raise CommandError("reset deletes the cluster with all its state; say --yes to confirm")
        answer = input(f"Delete the cluster in {data_dir} with all its state? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("Nothing was changed.")
            return 1
    return down.reset(data_dir)


def _backup(parsed: argparse.Namespace) -> int:
    from navarch.cli import backup

    return backup.backup(_data_dir(parsed), parsed.file.absolute())


def _restore(parsed: argparse.Namespace) -> int:
    from navarch.cli import backup

    _require_root()
    return backup.restore(_data_dir(parsed), parsed.file.absolute())


def _check(parsed: argparse.Namespace) -> int:
    from navarch.cli import backup

    return backup.check(_data_dir(parsed))


def _history(parsed: argparse.Namespace) -> int:
    from navarch.cli import history

    if parsed.diff is not None and len(parsed.diff) not in (0, 2):
        raise CommandError("--diff goes with two revisions, or with none to see them all")
    if parsed.output and parsed.revision is None:
        raise CommandError("-o yaml goes together with --revision")
    cluster = require(_data_dir(parsed))
    if parsed.words is not None:
        if parsed.words != "purge" or parsed.diff is not None or parsed.revision is not None:
            raise CommandError("name an object (KIND [NS/]NAME), or what is to be purged (purge KIND [NS/]NAME)")
        return history.purge(cluster, history.named(parsed.kind, parsed.name))
    return history.history(cluster, history.named(parsed.kind, parsed.name), diff=parsed.diff, revision=parsed.revision)


def _explain(parsed: argparse.Namespace) -> int:
    from navarch.cli import explain

    namespace, name = explain.pod_named(parsed.name)
    cluster = require(_data_dir(parsed))
    return explain.explain(cluster, namespace, name, all_nodes=parsed.nodes, as_json=parsed.output == "json")


def _undo(parsed: argparse.Namespace) -> int:
    from navarch.cli import undo
    from navarch.cli.history import named
    from navarch.component import clock

    if parsed.user_agent is not None:
        if parsed.kind or parsed.to is not None or not parsed.user_agent or parsed.since is None:
            raise CommandError("--user-agent goes together with --since, and with neither an object nor --to")
        since = undo.parse_since(parsed.since, clock.now())
        return undo.undo_agent(require(_data_dir(parsed)), parsed.user_agent, since, dry_run=parsed.dry_run)
    if not parsed.name or parsed.since is not None:
        raise CommandError("name an object (KIND [NS/]NAME), or a --user-agent and a time (--since)")
    target = named(parsed.kind, parsed.name)
    return undo.undo(require(_data_dir(parsed)), target, parsed.to, dry_run=parsed.dry_run)


def _encryption_status(parsed: argparse.Namespace) -> int:
    from navarch.cli import encryption

    return encryption.status(_data_dir(parsed))


def _encryption_rotate(parsed: argparse.Namespace) -> int:
    from navarch.cli import encryption

    _require_root()
    return encryption.rotate(_data_dir(parsed))


def _status(parsed: argparse.Namespace) -> int:
    from navarch.cli.status import status

    return status(require(_data_dir(parsed)))


def _kubeconfig(parsed: argparse.Namespace) -> int:
    from navarch.cli import kubeconfig

    print(kubeconfig.render(require(_data_dir(parsed))), end="")
    return 0


def _testserver(parsed: argparse.Namespace) -> int:
    from navarch.cli import testserver

    if parsed.nodes < 0:
        raise CommandError("--nodes: a cluster has no less than 0 nodes")
    if not 0 <= parsed.port <= PORT_MAX:
        raise CommandError(f"--port: {parsed.port} is not between 0 and {PORT_MAX}")
    return testserver.main(
        parsed.kubeconfig.absolute(),
        port=parsed.port,
        nodes=parsed.nodes,
        api_only=parsed.api_only,
        stages=parsed.stages,
        verbosity=parsed.verbose,
    )


def _simulate(parsed: argparse.Namespace) -> int:
    from navarch.cli import simulate

    if parsed.list:
        return simulate.show_list()
    if parsed.scenario is None:
        raise CommandError("which scenario? Say a file or a name; `navarch simulate --list` tells which there are")
    return simulate.main(
        simulate.Options(
            scenario=parsed.scenario,
            seed=parsed.seed,
            nodes=parsed.nodes,
            duration=parsed.duration,
            log=parsed.log,
            report=parsed.report,
            stages=tuple(parsed.stages),
            explore=parsed.explore,
            processes=parsed.processes,
            verbosity=parsed.verbose,
        )
    )


def _server(parsed: argparse.Namespace) -> int:
    from navarch.cli import server
    from navarch.cli.progress import Reporter

    cluster = require(_data_dir(parsed))
    scheduler_config, scheduler_plugins = _scheduler_files(parsed)
    cluster = replace(
        cluster,
        datastore=_datastore(parsed) or cluster.datastore,
        leader_elect=parsed.leader_elect or cluster.leader_elect,
        scheduler_config=scheduler_config or cluster.scheduler_config,
        scheduler_plugins=scheduler_plugins or cluster.scheduler_plugins,
        admission_config=_admission_file(parsed) or cluster.admission_config,
    )
    cluster = with_replicas(with_store(cluster, _store(parsed)), _read_replicas(parsed))
    if parsed.replica_of is not None:
        return server.replica(cluster, parsed.replica_of, verbosity=parsed.verbose)
    return server.main(cluster, Reporter(parsed.progress_fd), verbosity=parsed.verbose)


def _node_run(parsed: argparse.Namespace) -> int:
    from navarch.cli import node
    from navarch.cli.progress import Reporter

    cluster = require(_data_dir(parsed))
    chosen = cluster.node(parsed.name) if parsed.name or len(cluster.nodes) != 1 else cluster.nodes[0]
    return node.main(cluster, chosen, Reporter(parsed.progress_fd), verbosity=parsed.verbose)


def _node_action(parsed: argparse.Namespace) -> int:
    from navarch.cli import nodes

    _require_root()
    actions = {"stop": nodes.stop, "start": nodes.start, "cut": nodes.cut, "heal": nodes.heal}
    return actions[parsed.action](_data_dir(parsed), parsed.name)


def _image_load(parsed: argparse.Namespace) -> int:
    from navarch.cli import images

    _require_root()
    return images.load(require(_data_dir(parsed)), parsed.file, tag=parsed.tag)


def _image_build(parsed: argparse.Namespace) -> int:
    from navarch.cli import images

    _require_root()
    wanted = images.Build(
        directory=parsed.directory,
        tag=parsed.tag,
        entrypoint=tuple(parsed.entrypoint),
        command=tuple(parsed.cmd),
        environment=tuple(parsed.env),
        working_directory=parsed.workdir,
        user=parsed.user,
        exposed_ports=tuple(parsed.expose),
        compress=parsed.compress,
    )
    return images.build(require(_data_dir(parsed)), wanted)


def _image_ls(parsed: argparse.Namespace) -> int:
    from navarch.cli import images

    _require_root()
    return images.ls(require(_data_dir(parsed)))


def _version(parsed: argparse.Namespace) -> int:
    print(f"navarch {__version__} (Kubernetes API {KUBERNETES_VERSION})")
    return 0


def _require_root() -> None:
    from navarch.cli.preflight import not_root

    problem = not_root()
    if problem:
        raise CommandError(problem)


if __name__ == "__main__":
    sys.exit(main())
