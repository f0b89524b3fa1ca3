"""The proxy's nftables table as data: what every owner asks for, and the commands that lead from one state to the next.

Rules:

- One table, `ip navarch`; nothing outside it is read or written.
- `changes()` is one transaction that the kernel takes as a whole or not at all. `everything()` replaces the table by the
  present state, also in one transaction, so that there is no moment without rules.
- Where two owners claim the same exclusive element (two Services with one external address and port) the first keeps it, and
  the other gets it when the first lets go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from navarch.network.rules import (
    CLIENTS,
    CLUSTER_IPS,
    DEFAULT_AFFINITY_SECONDS,
    ENDPOINTS,
    HAIRPINS,
    MASQUERADE_MARK,
    NODE_IPS,
    NODE_PORT_ENDPOINTS,
    NODE_PORT_STICKY,
    NODE_PORTS,
    PLACES,
    PLACES_LAST,
    SERVICE_IPS,
    STICKY,
    TABLE,
    UNSERVED_IPS,
    UNSERVED_PORTS,
    ElementKey,
    Fragment,
)

# Of session affinity, over all Services.
CLIENTS_LIMIT = 262144
ELEMENTS_PER_COMMAND = 1000

_MAPS = {
    SERVICE_IPS: "type ipv4_addr . inet_proto . inet_service : verdict;",
    NODE_PORTS: "type inet_proto . inet_service : verdict;",
    ENDPOINTS: "type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service;",
    NODE_PORT_ENDPOINTS: "type inet_proto . inet_service . mark : ipv4_addr . inet_service;",
    STICKY: "type ipv4_addr . inet_proto . inet_service . mark : mark;",
    NODE_PORT_STICKY: "type inet_proto . inet_service . mark : mark;",
    CLIENTS: "type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark;"
    f" size {CLIENTS_LIMIT}; flags dynamic, timeout; timeout {DEFAULT_AFFINITY_SECONDS}s;",
    UNSERVED_IPS: "type ipv4_addr . inet_proto . inet_service : verdict;",
    UNSERVED_PORTS: "type inet_proto . inet_service : verdict;",
}
_SETS = {
    CLUSTER_IPS: "type ipv4_addr;",
    HAIRPINS: "type ipv4_addr . ipv4_addr;",
    NODE_IPS: "type ipv4_addr;",
}
_HOOKS = {
    "raw-prerouting": "type filter hook prerouting priority raw;",
    "nat-prerouting": "type nat hook prerouting priority dstnat;",
    "nat-output": "type nat hook output priority -100;",
    "nat-input": "type nat hook input priority 100;",
    "nat-postrouting": "type nat hook postrouting priority srcnat;",
    "filter-input": "type filter hook input priority filter;",
    "filter-forward": "type filter hook forward priority filter;",
    "filter-output": "type filter hook output priority filter;",
}


def base(cluster_cidr: str) -> dict[str, tuple[str, ...]]:
    """Chains that are there whatever the Services: name to rules."""
    mark = hex(MASQUERADE_MARK)
    clear = f"ct mark {PLACES:#x}-{PLACES_LAST:#x} ct mark set 0"
    return {
        # Node ports on 127.0.0.1 need route_localnet; this takes away what else that would allow to the neighbours.
        "raw-prerouting": ('iifname != "lo" ip daddr 127.0.0.0/8 drop',),
        "nat-prerouting": ("jump services",),
        "nat-output": ("jump services",),
        "nat-input": (clear,),
        "nat-postrouting": (
            clear,
            f"meta mark & {mark} == {mark} meta mark set meta mark ^ {mark} masquerade",
            # A pod that reaches itself through its Service would otherwise answer itself, past the connection's tracking.
            f"ct status dnat ip saddr . ip daddr @{HAIRPINS} masquerade",
            # Out of the cluster a pod is its node; within it, it is itself.
            f"ip saddr {cluster_cidr} ip daddr != {{ {cluster_cidr}, 224.0.0.0/4 }} ip daddr != @{NODE_IPS} masquerade",
        ),
        "filter-input": ("ct state new jump unserved",),
        "filter-forward": ("ct state new jump unserved",),
        "filter-output": ("ct state new jump unserved",),
        "services": (
            f"ip daddr . meta l4proto . th dport vmap @{SERVICE_IPS}",
            f"fib daddr type local meta l4proto . th dport vmap @{NODE_PORTS}",
        ),
        "unserved": (
            "ct status dnat return",
            f"ip daddr . meta l4proto . th dport vmap @{UNSERVED_IPS}",
            f"fib daddr type local meta l4proto . th dport vmap @{UNSERVED_PORTS}",
            # What is still on its way to a ClusterIP asked for a port that the Service doesn't have.
            f"ip daddr @{CLUSTER_IPS} goto refuse",
        ),
        "refuse": ("reject",),
    }


class Table:
    """What the kernel should hold, and what has changed since it was last told."""

    def __init__(self, cluster_cidr: str) -> None:
        self.cluster_cidr = cluster_cidr
        self._fragments: dict[str, Fragment] = {}
        self._elements: dict[ElementKey, tuple[str, str]] = {}
        """Key to (owner, value)."""
        self._waiting: dict[ElementKey, dict[str, str]] = {}
        self._shared: Counter[ElementKey] = Counter()
        self._chains: dict[str, tuple[tuple[str, ...], int]] = {}
        """Name to (rules, how many owners ask for it)."""
        self._forget()

    def _forget(self) -> None:
        """From now on changes are counted afresh."""
        self._old_elements: dict[ElementKey, str | None] = {}
        self._old_chains: dict[str, tuple[str, ...] | None] = {}

    def __len__(self) -> int:
        return len(self._elements) + len(self._shared)

    # Changing what is asked for

    def replace(self, owner: str, fragment: Fragment | None) -> None:
        """`owner` asks for `fragment` and for nothing else any more."""
        old = self._fragments.get(owner) or Fragment()
        new = fragment or Fragment()
        for key in old.elements.keys() - new.elements.keys():
            self._release(key, owner)
        for key, value in new.elements.items():
            if old.elements.get(key) != value:
                self._claim(key, owner, value)
        for key in old.shared - new.shared:
            self._note(key, "")
            self._shared[key] -= 1
            if not self._shared[key]:
                del self._shared[key]
        for key in new.shared - old.shared:
            self._note(key, "" if key in self._shared else None)
            self._shared[key] += 1
        self._replace_chains(old.chains, new.chains)
        if fragment is None:
            self._fragments.pop(owner, None)
        else:
            self._fragments[owner] = fragment

    def _note(self, key: ElementKey, before: str | None) -> None:
        self._old_elements.setdefault(key, before)

    def _claim(self, key: ElementKey, owner: str, value: str) -> None:
        holder = self._elements.get(key)
        if holder is not None and holder[0] != owner:
            self._waiting.setdefault(key, {})[owner] = value
            return
        self._note(key, holder[1] if holder else None)
        self._elements[key] = (owner, value)

    def _release(self, key: ElementKey, owner: str) -> None:
        waiting = self._waiting.get(key, {})
        if self._elements[key][0] != owner:
            waiting.pop(owner, None)
        else:
            self._note(key, self._elements.pop(key)[1])
            if waiting:
                heir = next(iter(waiting))
                self._elements[key] = (heir, waiting.pop(heir))
        if not waiting:
            self._waiting.pop(key, None)

    def _replace_chains(self, old: Mapping[str, tuple[str, ...]], new: Mapping[str, tuple[str, ...]]) -> None:
        for name, rules in new.items():
            if old.get(name) == rules:
                continue
            present, count = self._chains.get(name, (None, 0))
            self._old_chains.setdefault(name, present)
            self._chains[name] = (rules, count + (name not in old))
        for name in old.keys() - new.keys():
            rules, count = self._chains.pop(name)
            self._old_chains.setdefault(name, rules)
            if count > 1:
                self._chains[name] = (rules, count - 1)

    # Commands

    def changes(self) -> str:
        """The nft commands for what changed since `changes` or `everything` was last called; "" for nothing."""
        text = self._changes()
        self._forget()
        return text

    def _changes(self) -> str:
        lines: list[str] = []
        new_chains = [n for n, rules in self._old_chains.items() if n in self._chains and self._chains[n][0] != rules]
        gone_chains = [n for n, rules in self._old_chains.items() if n not in self._chains and rules is not None]
        lines += [f"add chain ip {TABLE} {name}" for name in new_chains]
        for name in new_chains:
            if self._old_chains.get(name) is not None:
                lines.append(f"flush chain ip {TABLE} {name}")
            lines += [f"add rule ip {TABLE} {name} {rule}" for rule in self._chains[name][0]]
        gone: dict[str, list[str]] = {}
        come: dict[str, list[str]] = {}
        for key, before in self._old_elements.items():
            after = self._value(key)
            if before == after:
                continue
            if before is not None:
                gone.setdefault(key[0], []).append(key[1])
            if after is not None:
                come.setdefault(key[0], []).append(f"{key[1]} : {after}" if after else key[1])
        for name, keys in gone.items():
            lines += _elements("delete", name, keys)
        for name, entries in come.items():
            lines += _elements("add", name, entries)
        # Chains may name each other: all are emptied before the first is deleted.
        lines += [f"flush chain ip {TABLE} {name}" for name in gone_chains]
        lines += [f"delete chain ip {TABLE} {name}" for name in gone_chains]
        return "\n".join(lines)

    def everything(self) -> str:
        """The nft commands that make the table what it should be, whatever it is."""
        self._forget()
        lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}", f"add table ip {TABLE}"]
        lines += [f"add map ip {TABLE} {name} {{ {definition} }}" for name, definition in _MAPS.items()]
        lines += [f"add set ip {TABLE} {name} {{ {definition} }}" for name, definition in _SETS.items()]
        chains = {**base(self.cluster_cidr), **{name: rules for name, (rules, _) in self._chains.items()}}
        for name in chains:
            hook = _HOOKS.get(name)
            lines.append(f"add chain ip {TABLE} {name}" + (f" {{ {hook} }}" if hook else ""))
        elements: dict[str, list[str]] = {}
        for (name, key), (_, value) in self._elements.items():
            elements.setdefault(name, []).append(f"{key} : {value}")
        for name, key in self._shared:
            elements.setdefault(name, []).append(key)
        for name, rules in chains.items():
            lines += [f"add rule ip {TABLE} {name} {rule}" for rule in rules]
        for name, entries in elements.items():
            lines += _elements("add", name, entries)
        return "\n".join(lines)

    def _value(self, key: ElementKey) -> str | None:
        holder = self._elements.get(key)
        if holder is not None:
            return holder[1]
        return "" if key in self._shared else None


def removal() -> str:
    """The nft commands that take the table away, also when there is none."""
    return f"add table ip {TABLE}\ndelete table ip {TABLE}"


def _elements(verb: str, name: str, entries: list[str]) -> Iterable[str]:
    for start in range(0, len(entries), ELEMENTS_PER_COMMAND):
        yield f"{verb} element ip {TABLE} {name} {{ {', '.join(entries[start : start + ELEMENTS_PER_COMMAND])} }}"
