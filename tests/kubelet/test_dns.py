"""Names of pods: hostname, hosts file, resolver."""

from __future__ import annotations

from navarch.kubelet import dns
from navarch.kubelet.dns import Resolver
from tests.kubelet.pods import pod

HOST = Resolver(("8.8.8.8",), ("corp.example",), ("rotate",))
OWN = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")


def resolver(**spec: object) -> Resolver:
    return dns.resolver(pod(**spec), HOST, ["10.96.0.10"], "cluster.local")[0]


def test_cluster_first_asks_the_cluster_and_searches_its_domains() -> None:
    assert resolver() == Resolver(("10.96.0.10",), (*OWN, "corp.example"), ("ndots:5",))


def test_other_policies() -> None:
    assert resolver(dnsPolicy="Default") == HOST
    assert resolver(hostNetwork=True) == HOST
    assert resolver(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet").servers == ("10.96.0.10",)
    config = {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "debug"}]}
    assert resolver(dnsPolicy="None", dnsConfig=config) == Resolver(("1.1.1.1",), ("a.b",), ("ndots:2", "debug"))


def test_dns_config_is_merged_and_its_options_win() -> None:
    found = resolver(dnsConfig={"nameservers": ["1.1.1.1", "10.96.0.10"], "options": [{"name": "ndots", "value": "1"}]})
    assert found.servers == ("10.96.0.10", "1.1.1.1") and found.options == ("ndots:1",)


def test_limits_of_resolv_conf_are_kept_and_told() -> None:
    config = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "searches": [f"d{i}.example" for i in range(40)]}
    found, complaints = dns.resolver(pod(dnsConfig=config), HOST, ["10.96.0.10"], "cluster.local")
    assert len(found.servers) == 3 and len(found.searches) == 32 and len(complaints) == 2
    assert complaints[0].startswith("Nameserver limits were exceeded, some nameservers have been omitted")


def test_resolv_conf_is_read() -> None:
    text = "# comment\nnameserver 1.1.1.1\nsearch old\nsearch a.b. c\noptions ndots:3\noptions rotate\ndomain d\n"
    text += "nameserver fe80::1\n"
    assert dns.parse_resolv_conf(text) == Resolver(("1.1.1.1", "fe80::1"), ("a.b", "c"), ("ndots:3", "rotate"))


def test_hostnames() -> None:
    assert dns.hostname(pod()) == "p"
    assert dns.hostname(pod(hostname="web-0")) == "web-0"
    long = pod()
    long["metadata"]["name"] = "a" * 62 + "-bcd"
    assert dns.hostname(long) == "a" * 62
    named = pod(hostname="web-0", subdomain="web")
    assert dns.domain_name(named, "cluster.local") == "web.default.svc.cluster.local"
    assert dns.sandbox_hostname(named, "cluster.local") == "web-0"
    full = pod(hostname="web-0", subdomain="web", setHostnameAsFQDN=True)
    assert dns.sandbox_hostname(full, "cluster.local") == "web-0.web.default.svc.cluster.local"


def test_the_hosts_file_names_the_pod_and_its_aliases() -> None:
    text = dns.hosts_file(
        pod(subdomain="web", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]), ["10.244.0.5"], "cluster.local", ""
    )
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.244.0.5\tp.web.default.svc.cluster.local\tp\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    host = dns.hosts_file(pod(hostNetwork=True), ["10.0.0.1"], "cluster.local", "127.0.0.1 me\n")
    assert host == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n"
