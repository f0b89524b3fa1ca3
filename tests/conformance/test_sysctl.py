"""Kernel parameters of pods."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.objects import pod
from tests.conformance.world import Space


@behaviour("Sysctls, reject invalid sysctls")
def test_names_that_are_none_are_refused(space: Space) -> None:
    sysctls = [
        {"name": name, "value": value} for name, value in (("foo-", "bar"), ("kernel.shmmax", "100000000"), ("bar..", "42"))
    ]
    refused = space.create("pods", pod("sysctl", securityContext={"sysctls": sysctls}), code=422)
    assert 'Invalid value: "foo-"' in refused["message"] and 'Invalid value: "bar.."' in refused["message"]
    assert "kernel.shmmax" not in refused["message"]
