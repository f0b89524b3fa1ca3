"""What is to be done for a pod: (pod, what the runtime has, probe results) → a `Plan` of CRI actions.

Pure, and the only place that decides. Rules (kubernetes.io/docs "Pod Lifecycle", "Init Containers", "Sidecar Containers"):
a pod has one ready sandbox; init containers run one after the other, those with restartPolicy Always go on beside the rest
and count as done once started; containers end and come back as the restart policy says; once no container runs nor will, the
sandbox goes too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.kubelet.probes import ContainerProbes
from navarch.kubelet.resources import is_sidecar
from navarch.kubelet.runtime_pod import Container, RuntimePod, Sandbox, recorded_grace_seconds

NO_PROBES = ContainerProbes()
DEFAULT_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Start:
    """Make and start a container; `after` is its former run, whose failure may mean waiting first."""

    spec: Object = field(compare=False)
    name: str
    kind: str
    """``init``, ``main`` or ``ephemeral``."""
    after: Container | None = None
    remove_first: str = ""
    """Id of a container that was made but never ran, and stands in the way."""


@dataclass(frozen=True, slots=True)
class Kill:
    """End one container."""

    container: Container
    spec: Object | None = field(compare=False)
    message: str
    reason: str = ""
    """Why, where that changes how: ``StartupProbe`` and ``LivenessProbe`` may bring their own grace period."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions, in this order."""

    kill_pod: bool = False
    """End every container and the sandbox."""
    kill: tuple[Kill, ...] = ()
    create_sandbox: bool = False
    sandbox: Sandbox | None = None
    """The one to start containers in, unless one is to be made."""
    attempt: int = 0
    sandbox_changed: bool = False
    start: tuple[Start, ...] = ()

    @property
    def nothing(self) -> bool:
        return not (self.kill_pod or self.kill or self.create_sandbox or self.start)


def with_restarts(plan: Plan, kills: Sequence[Kill], pod: Object) -> Plan:
    """`plan`, and these containers started anew, unless they are being ended anyway."""
    ending = {kill.container.id for kill in plan.kill}
    more = [kill for kill in kills if kill.container.id not in ending]
    if not more or plan.kill_pod or plan.create_sandbox:
        return plan
    sidecars = {container["name"] for container in pod["spec"].get("initContainers") or ()}
    starts = [
        Start(kill.spec, kill.container.name, "init" if kill.container.name in sidecars else "main", kill.container)
        for kill in more
        if kill.spec is not None
    ]
    return replace(plan, kill=(*plan.kill, *more), start=(*plan.start, *starts))


def restart_policy(pod: Object) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def policy_of(pod: Object, container: Object) -> str:
    """A container's own restart policy, else the pod's."""
    return str(container.get("restartPolicy") or restart_policy(pod))


def should_restart(pod: Object, container: Object, latest: Container | None) -> bool:
    """Whether a container that does not run is to be started (again)."""
    if meta.being_deleted(pod):
        return False
    if latest is None or latest.state in ("created", "unknown"):
        return True
    if latest.state == "running":
        return False
    return restarts_after(pod, container, latest.exit_code)


def restarts_after(pod: Object, container: Object, exit_code: int) -> bool:
    """Whether the restart policies bring a container back that ended so."""
    rule = _matching_rule(container, exit_code)
    if rule is not None:
        return rule == "Restart"
    policy = policy_of(pod, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _matching_rule(container: Object, exit_code: int) -> str | None:
    """The action of the first of `restartPolicyRules` that fits (KEP-5307)."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        inside = exit_code in (codes.get("values") or ())
        if inside == (codes.get("operator") == "In"):
            return str(rule.get("action"))
    return None


def compute(pod: Object, runtime: RuntimePod, probes: Mapping[str, ContainerProbes]) -> Plan:
    """The plan for a pod that is to run. `probes` is by container id."""
    spec = pod["spec"]
    usable, attempt = _usable_sandbox(pod, runtime)
    if usable is None:
        return _plan_new_sandbox(pod, runtime, attempt)
    current = RuntimePod(
        runtime.uid,
        runtime.name,
        runtime.namespace,
        (usable,),
        tuple(c for c in runtime.containers if c.sandbox_id == usable.id),
    )
    starts = [
        Start(container, container["name"], "ephemeral")
        for container in spec.get("ephemeralContainers") or ()
        # Never again, not even in a new sandbox.
        if runtime.latest(container["name"]) is None
    ]
    kills: list[Kill] = []
    begun = any(current.latest(container["name"]) for container in spec["containers"])
    init = _Initialization(pod, current, runtime, probes, begun)
    done = init.plan()
    if init.failed:
        return Plan(kill_pod=True, sandbox=usable)
    if done or begun:
        keep = _plan_main(pod, current, runtime, probes, starts, kills)
        if not keep:
            return Plan(kill_pod=True, sandbox=usable)
    return Plan(kill=(*init.kills, *kills), sandbox=usable, start=(*init.starts, *starts))


def _usable_sandbox(pod: Object, runtime: RuntimePod) -> tuple[Sandbox | None, int]:
    """The sandbox to go on with, or None and the number of the next one."""
    newest = runtime.sandbox
    if newest is None:
        return None, 0
    ready = [sandbox for sandbox in runtime.sandboxes if sandbox.ready]
    host_network = bool(pod["spec"].get("hostNetwork"))
    if len(ready) == 1 and newest.ready and newest.host_network == host_network and (host_network or newest.ips):
        return newest, newest.attempt
    return None, newest.attempt + 1


def _plan_new_sandbox(pod: Object, runtime: RuntimePod, attempt: int) -> Plan:
    spec = pod["spec"]
    policy = restart_policy(pod)
    kill = runtime.anything_runs
    if policy == "Never" and attempt > 0 and runtime.containers:
        # Its containers have had their one run.
        return Plan(kill_pod=kill)
    wanted = [c for c in spec["containers"] if should_restart_after_loss(pod, c, runtime.latest(c["name"]))]
    if not wanted:
        return Plan(kill_pod=kill)
    init = spec.get("initContainers") or ()
    if init:
        first = init[0]
        starts: list[Start] = [Start(first, first["name"], "init", _ended(runtime.latest(first["name"])))]
    else:
        starts = [Start(c, c["name"], "main", _ended(runtime.latest(c["name"]))) for c in wanted]
    return Plan(kill_pod=kill, create_sandbox=True, attempt=attempt, sandbox_changed=attempt > 0, start=tuple(starts))


def should_restart_after_loss(pod: Object, container: Object, latest: Container | None) -> bool:
    """Whether a container belongs into a new sandbox: all but those that had ended well and need not run again."""
    policy = policy_of(pod, container)
    if policy == "Always" or latest is None:
        return True
    return not (latest.state == "exited" and latest.exit_code == 0)


def _ended(container: Container | None) -> Container | None:
    return container if container is not None and container.state == "exited" else None


class _Initialization:
    """One walk over the init containers."""

    def __init__(
        self, pod: Object, current: RuntimePod, runtime: RuntimePod, probes: Mapping[str, ContainerProbes], begun: bool
    ) -> None:
        self.pod, self.current, self.runtime, self.probes, self.begun = pod, current, runtime, probes, begun
        self.starts: list[Start] = []
        self.kills: list[Kill] = []
        self.failed = False

    def plan(self) -> bool:
        """Fill `starts` and `kills`; True once initialisation is over.

        What stands before the last one that was started is done, whether or not the runtime still knows of it.
        """
        containers = self.pod["spec"].get("initContainers") or ()
        reached = max((i for i, one in enumerate(containers) if self.current.latest(one["name"]) is not None), default=0)
        for index, container in enumerate(containers):
            passed = self.begun or index < reached
            latest = self.current.latest(container["name"])
            if is_sidecar(container):
                done = self._sidecar(container, latest)
            else:
                done = passed or self._ordinary(container, latest)
            if self.failed or (not done and not passed):
                return False
        return True

    def _sidecar(self, container: Object, latest: Container | None) -> bool:
        if latest is None or latest.state != "running":
            self._start(container, latest)
            return False
        probes = self.probes.get(latest.id, NO_PROBES)
        kill = _probe_kill(container, latest, probes, f"Init container {container['name']}")
        if kill is not None:
            self.kills.append(kill)
            self._start(container, latest)
            return False
        return probes.started(container)

    def _ordinary(self, container: Object, latest: Container | None) -> bool:
        if latest is not None and latest.state == "running":
            return False
        if latest is not None and latest.state == "exited":
            if latest.exit_code == 0:
                return True
            if not should_restart(self.pod, container, latest):
                self.failed = True
                return False
        if latest is not None and latest.state == "unknown" and policy_of(self.pod, container) == "Never":
            self.failed = True
            return False
        self._start(container, latest)
        return False

    def _start(self, container: Object, latest: Container | None) -> None:
        name = container["name"]
        if latest is not None and latest.state == "unknown":
            self.kills.append(Kill(latest, container, 'Init container is in "unknown" state, try killing it before restart'))
        self.starts.append(Start(container, name, "init", _ended(latest or self.runtime.latest(name)), _stuck(latest)))


def _stuck(latest: Container | None) -> str:
    return latest.id if latest is not None and latest.state == "created" else ""


def _probe_kill(container: Object, latest: Container, probes: ContainerProbes, title: str, after: str = "") -> Kill | None:
    if probes.failed("liveness"):
        return Kill(latest, container, f"{title} failed liveness probe{after}", "LivenessProbe")
    if probes.failed("startup"):
        return Kill(latest, container, f"{title} failed startup probe{after}", "StartupProbe")
    return None


def _plan_main(
    pod: Object,
    current: RuntimePod,
    runtime: RuntimePod,
    probes: Mapping[str, ContainerProbes],
    starts: list[Start],
    kills: list[Kill],
) -> bool:
    """Fill `starts` and `kills` with what the containers need; False if none runs nor will."""
    keep = False
    for container in pod["spec"]["containers"]:
        name = container["name"]
        latest = current.latest(name)
        if latest is None or latest.state != "running":
            former = latest or runtime.latest(name)
            if should_restart(pod, container, former):
                if latest is not None and latest.state == "unknown":
                    kills.append(Kill(latest, container, 'Container is in "unknown" state, try killing it before restart'))
                starts.append(Start(container, name, "main", _ended(former), _stuck(latest)))
                keep = True
            continue
        restartable = policy_of(pod, container) != "Never"
        after = ", will be restarted" if restartable else ""
        kill = _probe_kill(container, latest, probes.get(latest.id, NO_PROBES), f"Container {name}", after)
        if kill is None:
            keep = True
            continue
        kills.append(kill)
        if restartable:
            starts.append(Start(container, name, "main", latest))
            keep = True
    return keep


def grace_seconds(pod: Object | None, container: Container, kill: Kill | None) -> int:
    """How long a container may take to end: what the deletion says, else the failed probe, else the pod."""
    if pod is not None:
        deletion = pod["metadata"].get("deletionGracePeriodSeconds")
        if deletion is not None:
            return int(deletion)
        if kill is not None and kill.spec is not None and kill.reason:
            probe = kill.spec.get("startupProbe" if kill.reason == "StartupProbe" else "livenessProbe") or {}
            if probe.get("terminationGracePeriodSeconds") is not None:
                return int(probe["terminationGracePeriodSeconds"])
        value = pod["spec"].get("terminationGracePeriodSeconds")
        if value is not None:
            return int(value)
    recorded = recorded_grace_seconds(container)
    return DEFAULT_GRACE_SECONDS if recorded is None else recorded
