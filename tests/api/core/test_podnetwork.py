"""What a pod's names, addresses and the rest of its own fields must keep to."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import LABEL, SUBDOMAIN, spec
from tests.api.rules import on_create

IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


NETWORK: list[tuple[Object, list[str]]] = [
    (
        spec(restartPolicy="x"),
        ['spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        spec(dnsPolicy="x"),
        [
            'spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", '
            '"None"'
        ],
    ),
    (spec(dnsPolicy="None"), ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (
        spec(dnsPolicy="None", dnsConfig={}),
        ["spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"],
    ),
    (
        spec(dnsConfig={"nameservers": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "x"]}),
        [
            'spec.dnsConfig.nameservers: Invalid value: ["10.0.0.1","10.0.0.2","10.0.0.3","x"]: must not have more than 3 '
            "nameservers",
            f'spec.dnsConfig.nameservers[3]: Invalid value: "x": {IP}',
        ],
    ),
    (spec(dnsConfig={"options": [{"value": "1"}]}), ["spec.dnsConfig.options[0]: Required value: must not be empty"]),
    (spec(dnsConfig={"searches": [".", "a_b.example."]}), []),
    (spec(hostAliases=[{"ip": "x"}]), [f'spec.hostAliases[0].ip: Invalid value: "x": {IP}']),
    (
        spec(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["A"]}]),
        [f'spec.hostAliases[0].hostnames[0]: Invalid value: "A": {SUBDOMAIN}'],
    ),
    (spec(hostname="A"), [f'spec.hostname: Invalid value: "A": {LABEL}']),
    (spec(subdomain="A"), [f'spec.subdomain: Invalid value: "A": {LABEL}']),
    (spec(serviceAccountName="A"), [f'spec.serviceAccountName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(nodeName="A"), [f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(priorityClassName="A"), [f'spec.priorityClassName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(runtimeClassName="A"), [f'spec.runtimeClassName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(runtimeClassName=""), [f'spec.runtimeClassName: Invalid value: "": {SUBDOMAIN}']),
    (
        spec(hostnameOverride="a", setHostnameAsFQDN=True, hostNetwork=True),
        [
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
        ],
    ),
    (
        spec(activeDeadlineSeconds=0),
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    (spec(terminationGracePeriodSeconds=-1), []),
]


@pytest.mark.parametrize(("change", "expected"), NETWORK)
def test_each_rule_of_names_and_addresses_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected
