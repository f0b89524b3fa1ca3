"""What the runtime has of a pod is looked at closely once for each change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from navarch.apimachinery import meta
from navarch.cri.fake import FakeRuntime
from navarch.kubelet.runtime_reader import RuntimeReader
from tests.kubelet.trial import Trial, on_a_trial


class Watched:
    """A runtime that notes who is looked at closely."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self.looked_at: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_status"):
            self.looked_at.append(name)
        return getattr(self._runtime, name)


def test_only_what_changed_is_looked_at_closely(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        pod = await t.running(restartPolicy="Never")
        watched: Any = Watched(t.runtime)
        reader = RuntimeReader(replace(t.kubelet._context, runtime=watched), meta.uid(pod), "p", "default")

        async def looked_at() -> list[str]:
            watched.looked_at.clear()
            await reader.refresh()
            return list(watched.looked_at)

        assert await looked_at() == ["pod_sandbox_status", "container_status"]
        assert reader.pod.anything_runs
        assert await looked_at() == []
        (running,) = t.runtime.running()
        t.runtime.exit(running, 3)
        assert await looked_at() == ["container_status"]
        found = reader.pod.latest("c")
        assert found is not None and found.exit_code == 3

    on_a_trial(test)(tmp_path)
