"""Images: pull policies, credentials, back-off, events."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.cri.fake import FakeRuntime
from navarch.kubelet.images import ImageError, ImageManager
from navarch.kubelet.slots import Slot
from tests.kubelet.pods import container, pod


class Trial:
    def __init__(self, **runtime: Any) -> None:
        self.runtime = FakeRuntime(**runtime)
        self.manager = ImageManager(self.runtime, parallel_pulls=2)
        self.events: list[tuple[str, str]] = []

    async def ensure(self, image: str, policy: str = "IfNotPresent", secrets: tuple[Object, ...] = ()) -> pb.Image:
        def record(type_: str, reason: str, message: str) -> None:
            self.events.append((reason, message))

        spec = container(image=image, imagePullPolicy=policy)
        async with Slot(asyncio.Semaphore(1)) as slot:
            return await self.manager.ensure(pod(spec), spec, secrets, record, pb.PodSandboxConfig(), slot)

    @property
    def pulls(self) -> list[str]:
        return [subject for method, subject in self.runtime.calls if method == "PullImage"]


def test_an_image_that_is_there_is_used() -> None:
    trial = Trial(images=["app:1"])
    asyncio.run(trial.ensure("app:1"))
    assert trial.events == [("Pulled", 'Container image "app:1" already present on machine and can be accessed by the pod')]
    assert not trial.pulls


def test_a_missing_image_is_pulled() -> None:
    trial = Trial()
    found = asyncio.run(trial.ensure("app"))
    assert trial.pulls == ["app:latest"] and found.size == 1024
    assert trial.events[0] == ("Pulling", 'Pulling image "app"')
    reason, message = trial.events[1]
    assert reason == "Pulled" and message.startswith('Successfully pulled image "app" in ')
    assert message.endswith(" including waiting). Image size: 1024 bytes.")


def test_always_pulls_and_never_does_not() -> None:
    trial = Trial(images=["app:1"])
    asyncio.run(trial.ensure("app:1", "Always"))
    assert trial.pulls == ["app:1"]
    with pytest.raises(ImageError) as caught:
        asyncio.run(trial.ensure("none:1", "Never"))
    assert caught.value.reason == "ErrImageNeverPull"
    assert trial.events[-1] == ("ErrImageNeverPull", 'Container image "none:1" is not present with pull policy of Never')


def test_a_pull_that_fails_is_not_tried_again_at_once() -> None:
    trial = Trial()
    trial.runtime.pullable = set()

    async def run() -> None:
        for expected in ("ErrImagePull", "ImagePullBackOff"):
            with pytest.raises(ImageError) as caught:
                await trial.ensure("gone:1")
            assert caught.value.reason == expected
        assert caught.value.message.startswith('Back-off pulling image "gone:1": ErrImagePull: rpc error: code = NotFound')
        assert 9 < trial.manager.remaining_seconds(pod(), "gone:1") <= 10

    asyncio.run(run())
    assert trial.pulls == ["gone:1"]
    assert [reason for reason, _ in trial.events] == ["Pulling", "Failed", "BackOff"]


def test_a_malformed_name_is_told() -> None:
    trial = Trial()
    for name in ("UPPER", "a b", "-x", "a//b"):
        with pytest.raises(ImageError) as caught:
            asyncio.run(trial.ensure(name))
        assert caught.value.reason == "InvalidImageName"
    assert trial.events[0][0] == "InspectFailed" and not trial.pulls


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("r.io/Team/app:1", "invalid reference format: repository name (Team/app) must be lowercase"),
        ("team/App", "invalid reference format: repository name (team/App) must be lowercase"),
        ("a b", "invalid reference format"),
    ],
)
def test_what_is_wrong_with_a_name_is_told(name: str, why: str) -> None:
    trial = Trial()
    with pytest.raises(ImageError) as caught:
        asyncio.run(trial.ensure(name))
    expected = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {why}'
    assert caught.value.message == expected and trial.events == [("InspectFailed", expected)]


def test_only_an_image_that_may_be_there_is_looked_for() -> None:
    trial = Trial()
    trial.runtime.failures["ImageStatus"] = CRIError("UNKNOWN", "no")
    with pytest.raises(ImageError) as caught:
        asyncio.run(trial.ensure("app:1"))
    assert (caught.value.reason, caught.value.message) == (
        "ImageInspectError",
        'Failed to inspect image "": rpc error: code = Unknown desc = no',
    )
    trial.runtime.failures["PullImage"] = CRIError("UNKNOWN", "RegistryUnavailable: it sleeps")
    with pytest.raises(ImageError) as caught:
        asyncio.run(trial.ensure("app:1", "Always"))
    assert (caught.value.reason, caught.value.message) == (
        "RegistryUnavailable",
        "image pull failed for app:1 because the registry is unavailable: it sleeps",
    )


def test_each_fitting_credential_is_tried() -> None:
    import base64
    import json

    tried: list[str] = []

    class Registry(FakeRuntime):
        async def pull_image(self, image: str, auth: Any = None, sandbox_config: Any = None) -> str:
            tried.append(auth.username if auth is not None else "")
            if auth is None or auth.username != "good":
                raise CRIError("UNKNOWN", "denied", "PullImage")
            return await super().pull_image(image)

    auths = {"r.io/team": {"username": "bad", "password": "x"}, "r.io": {"username": "good", "password": "y"}}
    secret = {"data": {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()}}
    trial = Trial()
    trial.runtime = Registry()
    trial.manager = ImageManager(trial.runtime, parallel_pulls=1)
    asyncio.run(trial.ensure("r.io/team/app:1", secrets=(secret,)))
    assert tried == ["bad", "good"]
