"""A node's own containerd: its configuration, start, adoption and end.

- The host's containerd is never touched: root, state, socket, configuration and CNI directories are the node's own.
- It outlives the node process that started it, and is adopted by its pid file and socket; its shims outlive it in turn, so that
  restarting either restarts no container.
- Everything it and its shims put on the machine is found again from its state directory and socket: that is how it is ended.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from navarch.component import clock, processes
from navarch.component.processes import Process

logger = logging.getLogger(__name__)

NAMESPACE = "k8s.io"
SHIM_NAME = "containerd-shim"
START_TIMEOUT_SECONDS = 20.0
# While starting only: a start is over in a tenth of a second.
START_POLL_SECONDS = 0.01
STOP_TIMEOUT_SECONDS = 5.0
CAP_SYS_RESOURCE = 24
# Where containerd 1.6's shims listen, whatever the state directory (pkg/shim: socketRoot).
SHIM_SOCKETS = Path("/run/containerd/s")
# Registries' settings (hosts.toml), as containerd documents them.
HOST_REGISTRIES = Path("/etc/containerd/certs.d")


class RuntimeFailure(Exception):
    """containerd cannot be started or does not answer; the message says where to look."""


@dataclass(frozen=True, slots=True)
class ContainerdConfig:
    """One node's runtime."""

    root: Path
    """What lasts: images, snapshots, metadata."""
    state: Path
    """What does not outlive a boot: sockets, bundles, pids. Short: a socket's path has at most 107 characters."""
    log_file: Path
    cni_bin_dir: Path
    cni_conf_dir: Path
    sandbox_image: str
    snapshotter: str = "overlayfs"
    restrict_oom_score_adj: bool = False
    """Without CAP_SYS_RESOURCE nobody can lower an oom_score_adj, and runc fails to start a container that asks for it."""
    program: str = "containerd"

    @property
    def socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def pid_file(self) -> Path:
        return self.state / "containerd.pid"

    @property
    def endpoint(self) -> str:
        """The CRI socket's address."""
        return f"unix://{self.socket}"

    @property
    def config_file(self) -> Path:
        return self.root / "config.toml"

    def to_toml(self) -> str:
        """containerd's configuration (version 2, which 1.5 to 2.x read)."""
        registries = f"{self.root.parent / 'certs.d'}:{HOST_REGISTRIES}"
        return f"""\
# Written by navarch whenever the node starts.
version = 2
root = "{self.root}"
state = "{self.state / "state"}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
  "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
]

[debug]
  level = "warn"

[grpc]
  address = "{self.socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{self.sandbox_image}"
  restrict_oom_score_adj = {str(self.restrict_oom_score_adj).lower()}
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  max_container_log_line_size = 16384

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self.cni_bin_dir}"
    conf_dir = "{self.cni_conf_dir}"
    max_conf_num = 1

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{self.snapshotter}"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{self.state / "runc"}"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{registries}"
"""


class Containerd:
    """One node's containerd on this machine."""

    def __init__(self, config: ContainerdConfig) -> None:
        self.config = config

    def running(self) -> Process | None:
        """The process, if it runs."""
        return processes.read(self.config.pid_file)

    def start(self) -> tuple[Process, bool]:
        """Start it, or adopt the one that runs; True if adopted. Does not wait until it answers."""
        found = self.running()
        if found is not None:
            return found, True
        config = self.config
        for directory in (config.root, config.state, config.cni_conf_dir):
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        config.config_file.write_text(config.to_toml())
        try:
            command: list[str | Path] = [config.program, "--config", config.config_file]
            return processes.start(command, pid_file=config.pid_file, log_file=config.log_file), False
        except FileNotFoundError as error:
            raise RuntimeFailure(f"{config.program} is not installed: apt-get install containerd") from error

    async def wait_ready(self, process: Process, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Until the socket answers. Raises RuntimeFailure if the process ends or takes too long."""
        deadline = clock.monotonic() + timeout_seconds
        while not self.answers():
            processes.reap(process.pid)
            if not process.alive:
                raise RuntimeFailure(f"containerd ended while starting; its last words:\n{self.last_words()}")
            if clock.monotonic() > deadline:
                raise RuntimeFailure(f"containerd does not answer on {self.config.socket}; see {self.config.log_file}")
            await clock.sleep(START_POLL_SECONDS)

    def answers(self) -> bool:
        """Whether something listens on its socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.config.socket))
            except OSError:
                return False
            return True

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.config.log_file.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def shims(self) -> list[Process]:
        """The shims of its containers, also when it does not run itself."""
        return list(_shims(str(self.config.socket)))

    def stop(self) -> None:
        """End containerd only; its containers go on."""
        process = self.running()
        if process is not None:
            processes.stop(process, STOP_TIMEOUT_SECONDS)
        self.config.pid_file.unlink(missing_ok=True)

    def stop_everything(self, *, grace_seconds: float = 0.0) -> None:
        """End all containers, their shims and containerd, as when the machine loses power (or, with a grace, is shut down).

        Mounts below the state directory are the caller's to undo, and the directory is: a boot begins with an empty one.
        """
        process = self.running()
        if process is not None:
            # First, so that it starts nothing more and does not mourn every shim.
            processes.end_trees([process])
        self.config.pid_file.unlink(missing_ok=True)
        # A shim that was just being started may show up a moment later.
        for _ in range(processes.SWEEP_ROUNDS_LIMIT):
            shims = self.shims()
            if not shims:
                break
            processes.end_trees(shims, grace_seconds=grace_seconds)
        self._remove_shim_sockets()

    def _remove_shim_sockets(self) -> None:
        for address in (self.config.state / "state").glob("io.containerd.runtime.v2.task/*/*/address"):
            path = Path(address.read_text().strip().removeprefix("unix://"))
            if path.is_relative_to(SHIM_SOCKETS):
                path.unlink(missing_ok=True)
        for directory in (SHIM_SOCKETS, SHIM_SOCKETS.parent):
            # Not empty means that somebody else lives there; not there means nobody does.
            with contextlib.suppress(OSError):
                directory.rmdir()


def needs_restricted_oom_score(status: str) -> bool:
    """Whether this machine's processes lack CAP_SYS_RESOURCE, from the text of `/proc/self/status`."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return False


def find_cni_plugins(candidates: tuple[str, ...] = ("/opt/cni/bin", "/usr/lib/cni")) -> Path | None:
    """Where the CNI plugins are installed: upstream's place, then Debian's."""
    for candidate in map(Path, candidates):
        if all((candidate / plugin).exists() for plugin in ("bridge", "host-local", "loopback", "portmap")):
            return candidate
    return None


def find_program(name: str) -> str | None:
    """A program's path, also where a plain user's PATH does not lead."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _shims(address: str) -> Iterator[Process]:
    for pid in processes.all_pids():
        words = processes.command_line(pid)
        if words and Path(words[0]).name.startswith(SHIM_NAME) and address in words:
            found = processes.find(pid)
            if found is not None:
                yield found
