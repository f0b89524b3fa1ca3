from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apimachinery.errors import Object
from navarch.network import rules
from navarch.network.rules import HAIRPINS, SERVICE_IPS, Fragment, Node
from navarch.network.table import Table, removal
from tests.network.laboratory import CLUSTER_CIDR, endpoint, endpoint_slice, service

HERE = Node("n1", CLUSTER_CIDR)


def fragment(svc: Object, *ips: str) -> Fragment:
    return rules.plan(svc, [endpoint_slice(*map(endpoint, ips))], HERE).fragment


class Kernel:
    """Obeys the commands of the table, as far as they are used, and is as strict as the real one about what is there."""

    def __init__(self) -> None:
        self.elements: dict[str, dict[str, str]] = {}
        self.chains: dict[str, list[str]] = {}

    def run(self, commands: str) -> None:
        for line in commands.splitlines():
            verb, kind, *rest = line.split(" ", 2)
            argument = rest[0].removeprefix("ip navarch").strip()
            if kind == "table":
                if verb == "delete":
                    self.__init__()  # type: ignore[misc]
                continue
            name, _, body = argument.partition(" ")
            if kind in ("map", "set"):
                self.elements[name] = {}
            elif kind == "element":
                self._elements(verb, name, body.strip("{} "))
            elif verb == "add" and kind == "chain":
                self.chains.setdefault(name, [])
            elif kind == "rule":
                self.chains[name].append(body)
            elif verb == "flush":
                self.chains[name].clear()
            else:
                assert not self.chains[name]
                assert not self._is_used(name), f"{name} is still in use"
                del self.chains[name]

    def _elements(self, verb: str, name: str, body: str) -> None:
        for entry in body.split(", "):
            key, _, value = entry.partition(" : ")
            if verb == "delete":
                del self.elements[name][key]
                continue
            assert self.elements[name].get(key, value) == value, f"{key} is there already"
            if value.startswith("goto "):
                assert value.removeprefix("goto ") in self.chains
            self.elements[name][key] = value

    def _is_used(self, chain: str) -> bool:
        values = (value for entries in self.elements.values() for value in entries.values())
        return f"goto {chain}" in values


def test_everything_holds_what_was_asked_for() -> None:
    table, kernel = Table(CLUSTER_CIDR), Kernel()
    table.replace("a", fragment(service(), "10.244.0.2"))
    kernel.run(table.everything())
    assert kernel.elements[SERVICE_IPS] == {"10.96.0.20 . tcp . 80": "goto cluster-ip-1"}
    assert "cluster-ip-1" in kernel.chains
    assert "nat-prerouting" in kernel.chains
    assert table.changes() == ""


def test_a_change_is_only_the_difference() -> None:
    table = Table(CLUSTER_CIDR)
    table.replace("a", fragment(service(), "10.244.0.2"))
    table.replace("b", fragment(service("b", "10.96.0.21"), "10.244.0.3"))
    table.everything()
    table.replace("a", fragment(service(), "10.244.0.4"))
    assert table.changes().splitlines() == [
        "delete element ip navarch endpoints { 10.96.0.20 . tcp . 80 . 0x6e000000 }",
        "delete element ip navarch hairpins { 10.244.0.2 . 10.244.0.2 }",
        "add element ip navarch endpoints { 10.96.0.20 . tcp . 80 . 0x6e000000 : 10.244.0.4 . 8080 }",
        "add element ip navarch hairpins { 10.244.0.4 . 10.244.0.4 }",
    ]
    table.replace("a", fragment(service(), "10.244.0.4"))
    assert table.changes() == ""


def test_there_and_back_again_is_no_change() -> None:
    table = Table(CLUSTER_CIDR)
    table.replace("a", fragment(service(), "10.244.0.2"))
    table.everything()
    table.replace("a", fragment(service(), "10.244.0.3", "10.244.0.4"))
    table.replace("a", fragment(service(), "10.244.0.2"))
    assert table.changes() == ""


def test_a_shared_element_stays_until_the_last_owner_lets_go() -> None:
    table = Table(CLUSTER_CIDR)
    for owner, ip in (("a", "10.96.0.20"), ("b", "10.96.0.21")):
        table.replace(owner, fragment(service(owner, ip), "10.244.0.2"))
    table.everything()
    table.replace("a", None)
    assert HAIRPINS not in table.changes()
    table.replace("b", None)
    assert "delete element ip navarch hairpins { 10.244.0.2 . 10.244.0.2 }" in table.changes()


def test_of_two_who_claim_an_address_the_first_has_it_and_the_second_inherits() -> None:
    table, kernel = Table(CLUSTER_CIDR), Kernel()
    for owner, ip, target in (("a", "10.96.0.20", "10.244.0.2"), ("b", "10.96.0.21", "10.244.0.3")):
        table.replace(owner, fragment(service(owner, ip, externalIPs=["192.0.2.1"]), target))
    kernel.run(table.everything())
    key = "192.0.2.1 . tcp . 80 . 0x6e000000"
    assert kernel.elements["endpoints"][key] == "10.244.0.2 . 8080"
    table.replace("a", None)
    kernel.run(table.changes())
    assert kernel.elements["endpoints"][key] == "10.244.0.3 . 8080"
    table.replace("b", None)
    kernel.run(table.changes())
    assert all(not entries for entries in kernel.elements.values())


services = st.builds(
    lambda number, ips, policy, affinity, external: (
        f"s{number}",
        service(
            f"s{number}",
            f"10.96.0.{number}",
            internalTrafficPolicy=policy,
            sessionAffinity=affinity,
            externalIPs=external,
        ),
        ips,
    ),
    st.integers(1, 3),
    st.none() | st.lists(st.sampled_from(["10.244.0.2", "10.244.0.3", "10.244.0.4"]), unique=True),
    st.sampled_from(["Cluster", "Local"]),
    st.sampled_from(["None", "ClientIP"]),
    st.sampled_from([[], ["192.0.2.1"]]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(services, max_size=12))
def test_changes_lead_where_everything_leads(steps: list[tuple[str, Object, list[str] | None]]) -> None:
    table, kernel = Table(CLUSTER_CIDR), Kernel()
    kernel.run(table.everything())
    for owner, svc, ips in steps:
        table.replace(owner, None if ips is None else fragment(svc, *ips))
        kernel.run(table.changes())
        fresh = Kernel()
        fresh.run(table.everything())
        assert fresh.elements == kernel.elements
        assert fresh.chains == kernel.chains


def test_removal_works_also_without_a_table() -> None:
    assert removal().splitlines() == ["add table ip navarch", "delete table ip navarch"]
