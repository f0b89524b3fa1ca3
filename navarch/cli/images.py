"""`navarch image`: images made or loaded on this machine, in every node."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from navarch.cli.cluster import Cluster, CommandError, Node, locked
from navarch.cli.runtime import containerd_config
from navarch.cri.containerd import Containerd, RuntimeFailure
from navarch.cri.images.archive import ImageError, is_layout
from navarch.cri.images.library import Archive, Library
from navarch.cri.images.oci import ImageConfig, Tree
from navarch.cri.images.pause import architecture
from navarch.cri.images.reference import normalize
from navarch.cri.images.runtime import NodeImages


@dataclass(frozen=True, slots=True)
class Build:
    """An image wanted of a directory."""

    directory: Path
    tag: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    working_directory: str = "/"
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    compress: bool = False


def load(cluster: Cluster, file: Path, *, tag: str = "") -> int:
    """Load an archive into the cluster's nodes."""
    if not file.exists():
        raise CommandError(f"{file} does not exist")
    if file.is_dir() and not is_layout(file):
        raise CommandError(f"{file} is a plain directory; make an image of it with: navarch image build {file} --tag NAME")
    try:
        with locked(cluster.images_dir):
            archive = Library(cluster.images_dir).add(file, tag=tag)
    except ImageError as error:
        raise CommandError(str(error)) from error
    return _into_nodes(cluster, archive)


def build(cluster: Cluster, wanted: Build) -> int:
    """Make an image of a directory and load it into the cluster's nodes."""
    if not wanted.directory.is_dir():
        raise CommandError(f"{wanted.directory} is not a directory")
    wrong = [entry for entry in wanted.environment if "=" not in entry]
    if wrong:
        raise CommandError(f"--env {wrong[0]}: write NAME=VALUE")
    try:
        reference = normalize(wanted.tag)
    except ValueError as error:
        raise CommandError(str(error)) from error
    tree = Tree()
    tree.add_directory(wanted.directory)
    config = ImageConfig(
        architecture=architecture(),
        entrypoint=wanted.entrypoint,
        command=wanted.command,
        environment=environment(wanted.environment),
        working_directory=wanted.working_directory,
        user=wanted.user,
        exposed_ports=wanted.exposed_ports,
    )
    with locked(cluster.images_dir):
        archive = Library(cluster.images_dir).build(tree, config, reference, compress=wanted.compress)
    return _into_nodes(cluster, archive)


def ls(cluster: Cluster) -> int:
    """List the images of all running nodes."""
    stored = asyncio.run(_stored(cluster))
    if not stored:
        raise CommandError("no node is running; start the cluster with: navarch up")
    rows: dict[tuple[str, str, str], list[str]] = {}
    for node, images in stored.items():
        for image in images:
            rows.setdefault((image.reference, image.digest[:19], image.size), []).append(node)
    everywhere = len(stored)
    table = [("IMAGE", "DIGEST", "SIZE", "NODES")]
    for (reference, digest, size), nodes in sorted(rows.items()):
        table.append((reference, digest, size, "all" if len(nodes) == everywhere else ",".join(nodes)))
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def environment(given: tuple[str, ...]) -> tuple[str, ...]:
    """The variables of an image: those given, and a PATH if none is."""
    usual = tuple(entry for entry in ImageConfig(architecture="").environment if not _names(given) & _names((entry,)))
    return usual + given


def _names(entries: tuple[str, ...]) -> set[str]:
    return {entry.partition("=")[0] for entry in entries}


def _into_nodes(cluster: Cluster, archive: Archive) -> int:
    nodes = _running(cluster)
    try:
        asyncio.run(_load_all(cluster, nodes, archive))
    except RuntimeFailure as error:
        raise CommandError(str(error)) from error
    for reference in archive.references:
        print(reference)
    if not nodes:
        print("No node is running; it is loaded when they start.")
    return 0


async def _load_all(cluster: Cluster, nodes: list[Node], archive: Archive) -> None:
    await asyncio.gather(*(NodeImages(containerd_config(cluster, node)).load(archive) for node in nodes))


async def _stored(cluster: Cluster) -> dict[str, list]:  # type: ignore[type-arg]
    return {node.name: await NodeImages(containerd_config(cluster, node)).stored() for node in _running(cluster)}


def _running(cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes if Containerd(containerd_config(cluster, node)).answers()]
