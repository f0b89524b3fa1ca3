"""What the portmap plugin leaves behind in iptables when pods end without it being asked: found and taken away at removal.

Its rules name the network they are for; only navarch's go. The plugin's common chains go when nobody's rules are left in them,
and so does the table that iptables made for them, once it is empty.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess

from navarch.network.cni import NETWORK

logger = logging.getLogger(__name__)

COMMAND_TIMEOUT_SECONDS = 10.0

_FAMILIES = {"ip": "iptables", "ip6": "ip6tables"}
_COMMON = ("CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK")
_OURS = f'dnat name: \\"{NETWORK}\\"'
_POD_CHAIN = re.compile(r"-j (CNI-DN-\S+)")


def removal(saved: str) -> str:
    """From what iptables-save says of the nat table, what iptables-restore must do; "" if nothing."""
    lines = saved.splitlines()
    rules = [line for line in lines if line.startswith("-A ")]
    chains = {line.split()[0][1:] for line in lines if line.startswith(":")}
    if "CNI-HOSTPORT-DNAT" not in chains:
        return ""
    entries = [rule for rule in rules if rule.startswith("-A CNI-HOSTPORT-DNAT ")]
    ours = [rule for rule in entries if _OURS in rule]
    gone = {found[1] for rule in ours if (found := _POD_CHAIN.search(rule))}
    commands = [f"-D {rule[3:]}" for rule in ours]
    if len(ours) == len(entries):
        gone |= chains & set(_COMMON)
        commands += [
            f"-D {rule[3:]}"
            for rule in rules
            if rule.split()[1] not in gone and any(rule.endswith(f"-j {name}") for name in _COMMON)
        ]
    if not commands and not gone:
        return ""
    commands += [f"-F {chain}" for chain in sorted(gone)] + [f"-X {chain}" for chain in sorted(gone)]
    return "\n".join(["*nat", *commands, "COMMIT", ""])


def is_empty(saved: str) -> bool:
    """Whether the nat table holds nothing but its own chains, and those let everything pass."""
    lines = saved.splitlines()
    return not any(line.startswith("-A ") for line in lines) and all(
        line.split()[1] == "ACCEPT" for line in lines if line.startswith(":")
    )


def remove() -> None:
    """Take away what is left, where there are iptables and the plugin ever did something."""
    if shutil.which("iptables-save") is None or shutil.which("nft") is None:
        return
    # Where there is no table, asking iptables would make one.
    tables = _run("nft", "list", "tables")
    present = {family: prefix for family, prefix in _FAMILIES.items() if f"table {family} nat\n" in tables}
    used = False
    for prefix in present.values():
        commands = removal(_run(f"{prefix}-save", "-t", "nat"))
        if commands:
            _run(f"{prefix}-restore", "--noflush", text=commands)
            used = True
    for family, prefix in present.items() if used else ():
        # The plugin makes a table also for the family that it does not use.
        if is_empty(_run(f"{prefix}-save", "-t", "nat")):
            _run("nft", "delete", "table", family, "nat")


def _run(*command: str, text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning("%s: %s", command[0], error)
        return ""
    if done.returncode:
        logger.warning("%s failed: %s", " ".join(command), done.stderr.strip())
    return done.stdout
