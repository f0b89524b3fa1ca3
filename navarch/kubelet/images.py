"""Images for containers: pull policy, credentials, back-off, and how many pulls run at once.

Events and waiting reasons are Kubernetes' (Pulling, Pulled, Failed, BackOff; ErrImagePull, ImagePullBackOff,
ErrImageNeverPull, InvalidImageName, ImageInspectError). An image that several containers want is fetched once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError, ImageService
from navarch.kubelet import credentials
from navarch.kubelet.backoff import Backoff, duration_text
from navarch.kubelet.slots import Slot

REFERENCE_LIMIT = 4096
_REFERENCE = re.compile(
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?\Z",
    re.ASCII,
)

Recorder = Callable[[str, str, str], None]
"""(type, reason, message) of an event about the container."""


class ImageError(Exception):
    """The image is not there; `reason` is the container's waiting reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ImageManager:
    """Makes images present on the node."""

    def __init__(self, service: ImageService, *, parallel_pulls: int, backoff: Backoff | None = None) -> None:
        self._service = service
        self._backoff = backoff or Backoff()
        self._last_errors: dict[str, str] = {}
        self._slots = asyncio.Semaphore(parallel_pulls)
        self._pulling: dict[str, asyncio.Lock] = {}

    async def ensure(
        self,
        pod: Object,
        container: Object,
        secrets: Sequence[Object],
        record: Recorder,
        config: pb.PodSandboxConfig,
        slot: Slot,
    ) -> pb.Image:
        """The image of `container`, pulled if its policy says so. Raises ImageError."""
        name = container["image"]
        if len(name) > REFERENCE_LIMIT or not _REFERENCE.match(name):
            message = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {_why_malformed(name)}'
            record("Warning", "InspectFailed", message)
            raise ImageError("InvalidImageName", message)
        image = credentials.with_default_tag(name)
        policy = container.get("imagePullPolicy") or ("Always" if image.endswith(":latest") else "IfNotPresent")
        present = None if policy == "Always" else await self._inspect(image, record)
        if present is not None:
            record("Normal", "Pulled", f'Container image "{name}" already present on machine and can be accessed by the pod')
            return present
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            record("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message)
        async with slot.paused():
            return await self._pull(pod, name, image, secrets, record, config)

    async def _inspect(self, image: str, record: Recorder) -> pb.Image | None:
        """The image, if it is there. Raises ImageError."""
        try:
            return await self._service.image_status(image)
        except CRIError as error:
            # Which image is not said: Kubernetes has nothing between these quotes.
            message = f'Failed to inspect image "": {error.rpc_text}'
            record("Warning", "InspectFailed", message)
            raise ImageError("ImageInspectError", message) from None

    async def _pull(
        self, pod: Object, name: str, image: str, secrets: Sequence[Object], record: Recorder, config: pb.PodSandboxConfig
    ) -> pb.Image:
        key = f"{pod['metadata']['uid']}_{name}"
        now = clock.monotonic()
        if self.remaining_seconds(pod, name) > 0:
            message = f'Back-off pulling image "{name}"'
            record("Normal", "BackOff", message)
            if key in self._last_errors:
                message += f": {self._last_errors[key]}"
            raise ImageError("ImagePullBackOff", message)
        record("Normal", "Pulling", f'Pulling image "{name}"')
        try:
            pulled, seconds = await self._pull_with_credentials(image, secrets, config)
        except CRIError as error:
            failed = clock.monotonic()
            self._backoff.next(key, failed, failed)
            reason, message = _pull_failure(name, error)
            self._last_errors[key] = f"{reason}: {message}"
            record("Warning", "Failed", f'Failed to pull image "{name}": {error.rpc_text}')
            raise ImageError(reason, message) from None
        self._last_errors.pop(key, None)
        took = duration_text(round(seconds, 3))
        whole = duration_text(round(clock.monotonic() - now, 3))
        record(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {took} ({whole} including waiting). Image size: {pulled.size} bytes.',
        )
        return pulled

    async def _pull_with_credentials(
        self, image: str, secrets: Sequence[Object], config: pb.PodSandboxConfig
    ) -> tuple[pb.Image, float]:
        """Try each fitting credential, or none; the last refusal counts."""
        lock = self._pulling.setdefault(image, asyncio.Lock())
        try:
            async with lock, self._slots:
                started = clock.monotonic()
                attempts: list[pb.AuthConfig | None] = [*credentials.matching(image, secrets)] or [None]
                for position, auth in enumerate(attempts):
                    try:
                        reference = await self._service.pull_image(image, auth, config)
                        break
                    except CRIError:
                        if position == len(attempts) - 1:
                            raise
                found = await self._service.image_status(reference) or await self._service.image_status(image)
                if found is None:
                    raise CRIError("NOT_FOUND", f'image "{image}" is not there after it was pulled')
                return found, clock.monotonic() - started
        finally:
            if not lock.locked():
                self._pulling.pop(image, None)

    def remaining_seconds(self, pod: Object, name: str) -> float:
        """How long until a pull that failed may be tried again."""
        key = f"{pod['metadata']['uid']}_{name}"
        delay = self._backoff.delay(key)
        if not delay:
            return 0.0
        return self._backoff.remaining_since_update(key, clock.monotonic())

    def forget(self, pod_uid: str) -> None:
        """The pod is gone: so is its back-off."""
        self._backoff.forget_prefix(f"{pod_uid}_")
        for key in [key for key in self._last_errors if key.startswith(f"{pod_uid}_")]:
            del self._last_errors[key]


def _pull_failure(name: str, error: CRIError) -> tuple[str, str]:
    """Waiting reason and message for a failed pull."""
    for reason, cause in (
        ("RegistryUnavailable", "the registry is unavailable"),
        ("SignatureValidationFailed", "the signature validation failed"),
    ):
        if error.message.startswith(reason):
            return reason, f"image pull failed for {name} because {cause}{error.message.removeprefix(reason)}"
    return "ErrImagePull", error.rpc_text


def _why_malformed(name: str) -> str:
    """A name on the default registry's shelf of official images is shown as it stands there."""
    first, slash, rest = name.partition("/")
    if not slash:
        repository = f"library/{name}"
    elif first in ("docker.io", "index.docker.io"):
        repository = rest if "/" in rest else f"library/{rest}"
    elif first == "localhost" or "." in first or ":" in first or first != first.lower():
        repository = rest
    else:
        repository = name
    repository = repository.partition(":")[0]
    if repository != repository.lower():
        return f"invalid reference format: repository name ({repository}) must be lowercase"
    return "invalid reference format"
