"""A pod's names: its hostname, /etc/hosts and resolver configuration. Pure.

Rules: kubernetes.io/docs "DNS for Services and Pods", and the limits of resolv.conf(5) that Kubernetes enforces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from navarch.apimachinery.errors import Object

NAMESERVERS_LIMIT = 3
SEARCHES_LIMIT = 32
SEARCHES_CHARACTERS_LIMIT = 2048
HOSTNAME_LIMIT = 63

_HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
_HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True)
class Resolver:
    """What resolv.conf says."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolver:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            # The last one counts.
            searches = [word.removesuffix(".") or "." for word in words[1:]]
        elif words[0] == "options":
            options += words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def hostname(pod: Object) -> str:
    """What the pod's containers are called."""
    name = str(pod["spec"].get("hostname") or pod["metadata"]["name"])
    if pod["spec"].get("hostnameOverride"):
        name = str(pod["spec"]["hostnameOverride"])
    return name[:HOSTNAME_LIMIT].rstrip("-.")


def domain_name(pod: Object, cluster_domain: str) -> str:
    """The domain of a pod with a subdomain (of its headless Service), else ""."""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain or pod["spec"].get("hostnameOverride"):
        return ""
    return f"{subdomain}.{pod['metadata']['namespace']}.svc.{cluster_domain}"


def sandbox_hostname(pod: Object, cluster_domain: str) -> str:
    """The UTS hostname: the full name for those that ask for it."""
    short, domain = hostname(pod), domain_name(pod, cluster_domain)
    return f"{short}.{domain}" if pod["spec"].get("setHostnameAsFQDN") and domain else short


def resolver(
    pod: Object, host: Resolver, cluster_dns: Sequence[str], cluster_domain: str, *, limit: bool = True
) -> tuple[Resolver, list[str]]:
    """The pod's resolver, and what had to be left out of it (messages of DNSConfigForming events)."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy == "Default" or not cluster_dns:
        base = host
    else:
        namespace = pod["metadata"]["namespace"]
        own = (f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
        base = Resolver(tuple(cluster_dns), _unique([*own, *host.searches]), ("ndots:5",))
    merged = _with_config(base, spec.get("dnsConfig") or {})
    return _limited(merged) if limit else (merged, [])


def _with_config(base: Resolver, config: Object) -> Resolver:
    options = dict(_option(text) for text in base.options)
    for option in config.get("options") or ():
        options[option["name"]] = option.get("value")
    return Resolver(
        _unique([*base.servers, *(config.get("nameservers") or ())]),
        _unique([*base.searches, *(config.get("searches") or ())]),
        tuple(name if value is None else f"{name}:{value}" for name, value in options.items()),
    )


def _option(text: str) -> tuple[str, str | None]:
    name, colon, value = text.partition(":")
    return name, value if colon else None


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _limited(resolver: Resolver) -> tuple[Resolver, list[str]]:
    complaints: list[str] = []
    servers, searches = resolver.servers, resolver.searches
    if len(servers) > NAMESERVERS_LIMIT:
        servers = servers[:NAMESERVERS_LIMIT]
        complaints.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, "
            f"the applied nameserver line is: {' '.join(servers)}"
        )
    kept = searches[:SEARCHES_LIMIT]
    while len(" ".join(kept)) > SEARCHES_CHARACTERS_LIMIT:
        kept = kept[:-1]
    if kept != searches:
        complaints.append(
            "Search Line limits were exceeded, some search paths have been omitted, "
            f"the applied search line is: {' '.join(kept)}"
        )
    return Resolver(servers, kept, resolver.options), complaints


def hosts_file(pod: Object, ips: Sequence[str], cluster_domain: str, host_file: str) -> str:
    """/etc/hosts; `host_file` is the node's own, for pods in its network."""
    if pod["spec"].get("hostNetwork"):
        text = _HOST_NETWORK_HEADER + host_file
    else:
        short, domain = hostname(pod), domain_name(pod, cluster_domain)
        text = _HOSTS_HEADER + _LOCAL_HOSTS
        for ip in ips:
            text += f"{ip}\t{short}.{domain}\t{short}\n" if domain else f"{ip}\t{short}\n"
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        for alias in aliases:
            text += "\t".join([alias["ip"], *(alias.get("hostnames") or ())]) + "\n"
    return text
