"""Making, starting and removing the containers of one pod through the runtime, with the events that tell of it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.component.tasks import side_by_side
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.kubelet import container_config, dns, env, hooks, logs, resizing, resources
from navarch.kubelet.actions import Kill, Start
from navarch.kubelet.context import NodeContext
from navarch.kubelet.ending import Ending
from navarch.kubelet.handlers import Target
from navarch.kubelet.images import ImageError
from navarch.kubelet.runtime_pod import (
    POD_UID,
    TERMINATION_MESSAGE_PATH,
    TERMINATION_MESSAGE_POLICY,
    Container,
    RuntimePod,
    Sandbox,
)
from navarch.kubelet.slots import Slot
from navarch.kubelet.volumes import paths
from navarch.kubelet.volumes.manager import PodVolumes
from navarch.kubelet.volumes.plugin import Mounted, VolumeError

logger = logging.getLogger(__name__)

TERMINATION_MESSAGE_LIMIT_BYTES = 4096
POST_START_LIMIT_SECONDS = 3600.0
ENV_FILE_LIMIT_BYTES = 1024 * 1024
SECRETS_RETRY_REASON = "FailedToRetrieveImagePullSecret"


class StartError(Exception):
    """A container did not start; reason and message are what its status shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ResizeError(Exception):
    """A container's resources cannot be changed now."""


class PodContainers:
    """The runtime's side of one pod."""

    def __init__(self, context: NodeContext, uid: str, directory: Path, log_directory: Path, volumes: PodVolumes) -> None:
        self._context = context
        self._uid = uid
        self._directory = directory
        self.log_directory = log_directory
        self._volumes = volumes
        self._messages: dict[str, str] = {}
        self.ending = Ending(context, uid)

    # Sandboxes

    def sandbox_config(self, pod: Object, attempt: int, cgroup_parent: str) -> pb.PodSandboxConfig:
        config = self._context.config
        resolver, complaints = dns.resolver(pod, self._context.resolver, config.cluster_dns, config.cluster_domain)
        for complaint in complaints:
            self._context.event(pod, "Warning", "DNSConfigForming", complaint)
        return container_config.sandbox_config(
            pod,
            attempt=attempt,
            log_directory=str(self.log_directory),
            cgroup_parent=cgroup_parent,
            resolver=resolver,
            cluster_domain=config.cluster_domain,
        )

    async def run_sandbox(self, pod: Object, config: pb.PodSandboxConfig) -> str:
        """Raises CRIError."""
        self.log_directory.mkdir(parents=True, exist_ok=True)
        try:
            return await self._context.runtime.run_pod_sandbox(config)
        except CRIError as error:
            message = f"Failed to create pod sandbox: {error.rpc_text}"
            self._context.event(pod, "Warning", "FailedCreatePodSandBox", message)
            raise

    # Starting

    async def start(
        self,
        pod: Object,
        start: Start,
        attempt: int,
        sandbox: Sandbox,
        config: pb.PodSandboxConfig,
        mounted: Mapping[str, Mounted],
        runtime: RuntimePod,
        slot: Slot,
    ) -> None:
        """From image to running, postStart included. Raises StartError."""
        container = start.spec
        try:
            image = await self._image(pod, container, config, slot)
            made = await self._configured(pod, container, attempt, sandbox, image, mounted, runtime)
        except StartError as error:
            shown = error.reason if error.reason in _SHOWN_BY_REASON else error.message
            self._context.event(pod, "Warning", "Failed", f"Error: {shown}", container)
            raise
        await self._create_and_start(pod, start, sandbox, config, made, slot)

    async def _image(self, pod: Object, container: Object, config: pb.PodSandboxConfig, slot: Slot) -> pb.Image:
        secrets, missing = await self._pull_secrets(pod)

        def record(type_: str, reason: str, message: str) -> None:
            self._context.event(pod, type_, reason, message, container)

        try:
            return await self._context.images.ensure(pod, container, secrets, record, config, slot)
        except ImageError as error:
            if missing and error.reason in ("ErrImagePull", "ImagePullBackOff"):
                names = ", ".join(missing)
                message = f"Unable to retrieve some image pull secrets ({names}); attempting to pull the image may not succeed."
                self._context.event(pod, "Warning", SECRETS_RETRY_REASON, message)
            raise StartError(error.reason, error.message) from None

    async def _pull_secrets(self, pod: Object) -> tuple[Sequence[Object], Sequence[str]]:
        """Those that are there, and the names of those that are not."""
        found: list[Object] = []
        missing: list[str] = []
        for reference in pod["spec"].get("imagePullSecrets") or ():
            name = reference.get("name", "")
            if not name:
                continue
            try:
                secret = await self._context.objects.get("secrets", pod["metadata"]["namespace"], name)
            except (StatusError, OSError) as error:
                logger.warning("cannot read the image pull secret %s: %s", name, error)
                secret = None
            if secret is None:
                missing.append(name)
            else:
                found.append(secret)
        return found, missing

    async def _configured(
        self,
        pod: Object,
        container: Object,
        attempt: int,
        sandbox: Sandbox,
        image: pb.Image,
        mounted: Mapping[str, Mounted],
        runtime: RuntimePod,
    ) -> pb.ContainerConfig:
        ips = self._context.addresses(sandbox)
        try:
            environment = await self._environment(pod, container, ips, mounted)
            prepared = container_config.Prepared(
                image=image,
                environment=environment,
                mounts=self._mounts(pod, container, attempt, ips, mounted, environment),
                memory_capacity_bytes=self._context.memory_capacity_bytes,
                seccomp_root=str(self._context.config.root_directory / "seccomp"),
                target_id=_target_id(container, runtime),
            )
            return container_config.container_config(pod, container, attempt, prepared)
        except env.ConfigError as error:
            raise StartError("CreateContainerConfigError", str(error)) from None
        except (StatusError, OSError) as error:
            raise StartError("CreateContainerConfigError", str(getattr(error, "message", error))) from None

    async def _environment(
        self, pod: Object, container: Object, ips: Sequence[str], mounted: Mapping[str, Mounted]
    ) -> dict[str, str]:
        namespace = pod["metadata"]["namespace"]
        since = clock.monotonic()
        found: dict[tuple[str, str], Object | None] = {}
        for reference in env.references(container):
            key = (reference.resource, reference.name)
            if key not in found:
                found[key] = await self._context.objects.get(reference.resource, namespace, reference.name, since=since)
        await self._context.services.wait_synced()
        sources = env.Sources(
            objects=found,
            services=self._context.pod_services(namespace),
            pod_ips=tuple(ips),
            host_ips=self._context.host_ips,
            allocatable=self._context.allocatable,
            files={(name, path): _file_in(mounted[name].path, path) for name, path in env.files(container) if name in mounted},
        )
        return env.make(pod, container, sources)

    def _mounts(
        self,
        pod: Object,
        container: Object,
        attempt: int,
        ips: Sequence[str],
        mounted: Mapping[str, Mounted],
        environment: Mapping[str, str],
    ) -> list[pb.Mount]:
        """Raises ConfigError."""
        result: list[pb.Mount] = []
        taken: set[str] = set()
        for index, spec in enumerate(container.get("volumeMounts") or ()):
            volume = mounted.get(spec["name"])
            if volume is None:
                raise env.ConfigError(f'cannot find volume "{spec["name"]}" to mount into container "{container["name"]}"')
            relative = env.expand_all(spec["subPathExpr"], environment) if spec.get("subPathExpr") else spec.get("subPath")
            path = self._subpath(volume.path, relative, spec["name"], container["name"], index) if relative else volume.path
            read_only = bool(spec.get("readOnly")) or volume.read_only
            recursive = container_config.is_recursive_read_only(spec, self._context.recursive_read_only)
            made = container_config.mount(spec["mountPath"], str(path), spec, read_only=read_only, recursive=recursive)
            result.append(made)
            taken.add(spec["mountPath"].rstrip("/"))
        if "/etc/hosts" not in taken:
            result.append(container_config.mount("/etc/hosts", str(self._write_hosts(pod, ips))))
        log_path = container.get("terminationMessagePath") or container_config.TERMINATION_LOG
        if log_path not in taken:
            file = self._directory / "containers" / container["name"] / str(attempt)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            file.chmod(0o666)
            result.append(container_config.mount(log_path, str(file)))
        return result

    def _subpath(self, volume: Path, relative: str, name: str, container: str, index: int) -> Path:
        """Raises ConfigError, which tells nothing of the node's files."""
        if relative.startswith("/"):
            raise env.ConfigError(f"error SubPath `{relative}` must not be an absolute path")
        if ".." in relative.split("/"):
            raise env.ConfigError(f"unable to provision SubPath `{relative}`: must not contain '..'")
        try:
            return self._volumes.subpath(volume, relative, name, container, index)
        except (VolumeError, OSError) as error:
            logger.warning("pod %s, container %s: %s", self._uid, container, error)
            text = f'failed to prepare subPath for volumeMount "{name}" of container "{container}"'
            raise env.ConfigError(text) from None

    def _write_hosts(self, pod: Object, ips: Sequence[str]) -> Path:
        file = self._directory / "etc-hosts"
        own = Path("/etc/hosts").read_text() if pod["spec"].get("hostNetwork") else ""
        text = dns.hosts_file(pod, ips, self._context.config.cluster_domain, own)
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o644)
        return file

    async def resize(self, pod: Object, container: Container, spec: Object, former_limit_bytes: int) -> None:
        """Tell the runtime of a running container's new resources. Raises CRIError, and ResizeError where memory is in use."""
        limit = resizing.memory_limit_bytes(spec.get("resources") or {})
        if limit and (limit < former_limit_bytes or not former_limit_bytes):
            used = await self._memory_bytes(container)
            if used > limit:
                raise ResizeError(f"attempting to set container memory limit ({limit}) below current usage ({used})")
        told = resources.container_resources(pod, spec, self._context.memory_capacity_bytes)
        await self._context.runtime.update_container_resources(container.id, told)

    async def _memory_bytes(self, container: Container) -> int:
        """How much memory a container uses now; 0 if the runtime does not know."""
        stats = await self._context.runtime.list_container_stats({POD_UID: self._uid})
        return next((int(one.memory.working_set_bytes.value) for one in stats if one.attributes.id == container.id), 0)

    async def _create_and_start(
        self, pod: Object, start: Start, sandbox: Sandbox, config: pb.PodSandboxConfig, made: pb.ContainerConfig, slot: Slot
    ) -> None:
        runtime, container = self._context.runtime, start.spec
        (self.log_directory / start.name).mkdir(parents=True, exist_ok=True)
        try:
            if start.remove_first:
                await runtime.remove_container(start.remove_first)
            container_id = await runtime.create_container(sandbox.id, made, config)
        except CRIError as error:
            self._context.event(pod, "Warning", "Failed", f"Error: {error.message}", container)
            raise StartError("CreateContainerError", error.message) from None
        self._context.event(pod, "Normal", "Created", "Container created", container)
        try:
            await runtime.start_container(container_id)
        except CRIError as error:
            self._context.event(pod, "Warning", "Failed", f"Error: {error.message}", container)
            raise StartError("RunContainerError", error.message) from None
        self._context.event(pod, "Normal", "Started", "Container started", container)
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        target = Target(container_id, container, next(iter(self._context.addresses(sandbox)), ""))

        def warn(reason: str, message: str) -> None:
            self._context.event(pod, "Warning", reason, message)

        async with slot.paused():
            failure = await hooks.run(runtime, pod, target, hook, POST_START_LIMIT_SECONDS, warn)
        if failure:
            logger.info("pod %s: %s", self._uid, failure)
            # What it says may be secret, and events are not.
            self._context.event(pod, "Warning", "FailedPostStartHook", "PostStartHook failed", container)
            ended = Container(container_id, start.name, 0, "running", sandbox.id, 0)
            await self.ending.kill(pod, ended, Kill(ended, container, "FailedPostStartHook"), sandbox)
            raise StartError("PostStartHookError", failure)

    # Removing

    async def remove(self, container: Container) -> None:
        """Remove a container that has ended, and its log. Raises CRIError."""
        try:
            await self._context.runtime.remove_container(container.id)
        except CRIError as error:
            if not error.is_not_found:
                raise
        self._messages.pop(container.id, None)
        self.ending.forget(container)
        for file in logs.log_files(self.log_directory, container.name, container.attempt):
            file.unlink(missing_ok=True)
        (self._directory / "containers" / container.name / str(container.attempt)).unlink(missing_ok=True)

    async def remove_all(self, runtime: RuntimePod) -> None:
        """Remove every container and sandbox, all ended. Raises CRIError."""
        await side_by_side(self._context.runtime.remove_container(container.id) for container in runtime.containers)
        await side_by_side(self._remove_sandbox(sandbox) for sandbox in runtime.sandboxes)

    async def _remove_sandbox(self, sandbox: Sandbox) -> None:
        # Even if it has died on its own: what it still holds, its address, is given back only so.
        await self.ending.stop_sandbox(sandbox)
        await self._context.runtime.remove_pod_sandbox(sandbox.id)
        self.ending.forget_sandbox(sandbox)

    async def prune(self, runtime: RuntimePod) -> bool:
        """Remove runs that nobody asks for any more: of each container the newest and the one before stay, of sandboxes
        the newest. True if anything went. Raises CRIError."""
        seen: dict[str, int] = {}
        dead: list[Container] = []
        for container in runtime.containers:
            count = seen[container.name] = seen.get(container.name, 0) + 1
            if count > 2 and container.state in ("exited", "created"):
                dead.append(container)
        for container in dead:
            await self.remove(container)
        kept = {container.sandbox_id for container in runtime.containers if container not in dead}
        old = [one for one in runtime.sandboxes[1:] if not one.ready and one.id not in kept]
        for sandbox in old:
            await self._remove_sandbox(sandbox)
        return bool(dead or old)

    def remove_logs(self) -> None:
        shutil.rmtree(self.log_directory, ignore_errors=True)

    # Messages of ended containers

    def messages(self, runtime: RuntimePod) -> dict[str, str]:
        """Termination messages by container id."""
        for container in runtime.containers:
            if container.state == "exited" and container.id not in self._messages:
                self._messages[container.id] = self._message(container)
        return self._messages

    def _message(self, container: Container) -> str:
        text = ""
        if container.annotations.get(TERMINATION_MESSAGE_PATH):
            file = self._directory / "containers" / container.name / str(container.attempt)
            try:
                with file.open("rb") as opened:
                    text = opened.read(TERMINATION_MESSAGE_LIMIT_BYTES).decode("utf-8", "replace")
            except OSError:
                text = ""
        policy = container.annotations.get(TERMINATION_MESSAGE_POLICY)
        if not text and policy == "FallbackToLogsOnError" and container.exit_code != 0:
            text = logs.tail(Path(container.log_path)) if container.log_path else ""
        return text


_SHOWN_BY_REASON = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)


def _file_in(volume: Path, path: str) -> env.File:
    """A file of a volume, if it can be read."""
    text: str | None = None
    try:
        text = paths.read(volume, path, ENV_FILE_LIMIT_BYTES).decode(errors="surrogateescape")
    except (VolumeError, OSError) as error:
        logger.debug("cannot read the variables of %s: %s", path, error)
    return env.File(f"{os.path.realpath(volume)}/{path}", text)


def _target_id(container: Object, runtime: RuntimePod) -> str:
    """The container whose process namespace an ephemeral container joins."""
    name = container.get("targetContainerName")
    if not name:
        return ""
    found = runtime.latest(name)
    if found is None or not found.running:
        raise env.ConfigError(f"unable to find target container {json.dumps(name)}")
    return found.id
