"""What annotations of pods must keep to, and what of them becomes fields."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import C, main, spec
from tests.api.rules import made, on_create

SECCOMP = "container.seccomp.security.alpha.kubernetes.io/main"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"

ANNOTATIONS: list[tuple[Object, list[str]]] = [
    (
        {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}},
        [
            'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod '
            "annotation is set"
        ],
    ),
    (
        {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "+1"}}},
        [
            'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer',
        ],
    ),
    (
        {"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}}},
        ['metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "x": must be a valid seccomp profile'],
    ),
    (
        {
            "metadata": {
                "annotations": {
                    "container.seccomp.security.alpha.kubernetes.io/a": "localhost//etc",
                    "container.seccomp.security.alpha.kubernetes.io/b": "localhost/../b",
                }
            }
        },
        [
            'metadata.annotations.container.seccomp.security.alpha.kubernetes.io/a: Invalid value: "/etc": must be a relative '
            "path",
            'metadata.annotations.container.seccomp.security.alpha.kubernetes.io/b: Invalid value: "../b": must not contain '
            "'..'",
        ],
    ),
    ({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-05"}}}, []),
    (
        {
            "metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}},
            "spec": {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        },
        ["spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"],
    ),
    (
        {
            "metadata": {"annotations": {"container.seccomp.security.alpha.kubernetes.io/main": "x"}},
            **main(securityContext={"seccompProfile": {"type": "Unconfined"}}),
        },
        [
            'metadata.annotations.container.seccomp.security.alpha.kubernetes.io/main: Invalid value: "x": must be a valid '
            "seccomp profile",
            f"{C}.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
        ],
    ),
    *(
        (
            {"metadata": {"annotations": {APPARMOR: value}}, **spec(securityContext={"appArmorProfile": field}, **more)},
            [f"{C}.securityContext.appArmorProfile.{part}: Forbidden: {text}" for part, text in problems],
        )
        for value, field, more, problems in (
            # What the pod says holds for a container of which the annotation says nothing that a field could say.
            ("", {"type": "Unconfined"}, {}, [("type", "apparmor type in annotation and field must match")]),
            (
                "localhost/",
                {"type": "Localhost", "localhostProfile": "a"},
                {},
                [
                    ("localhostProfile", "apparmor profile in annotation and field must match"),
                ],
            ),
            ("localhost/a", {"type": "Localhost", "localhostProfile": "a"}, {}, []),
        )
    ),
    (
        {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/x": "y"}}},
        [
            'metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "x": container not found',
            'metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "y": invalid AppArmor '
            'profile name: "y"',
        ],
    ),
]


@pytest.mark.parametrize(("change", "expected"), ANNOTATIONS)
def test_each_rule_of_annotations_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected


def test_of_a_template_only_the_seccomp_profile_must_match_its_annotation() -> None:
    fields = {"seccompProfile": {"type": "RuntimeDefault"}, "appArmorProfile": {"type": "RuntimeDefault"}}
    annotations = {SECCOMP: "unconfined", APPARMOR: "unconfined"}
    change = {"template": {"metadata": {"annotations": annotations}, **main(securityContext=fields)}}
    assert on_create("podtemplates", change) == [
        "template.spec.containers[0].securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field "
        "must match"
    ]


@pytest.mark.parametrize(
    ("value", "change", "expected"),
    [
        ("runtime/default", {}, {"type": "RuntimeDefault"}),
        ("localhost/a", {}, {"type": "Localhost", "localhostProfile": "a"}),
        ("localhost/", {}, None),
        ("localhost/ a", {}, None),
        ("", {}, None),
        ("unconfined", spec(os={"name": "windows"}), None),
        ("unconfined", spec(securityContext={"appArmorProfile": {"type": "Unconfined"}}), None),
        ("unconfined", spec(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}), {"type": "Unconfined"}),
    ],
)
def test_what_an_annotation_says_of_apparmor_becomes_a_field(value: str, change: Object, expected: Object | None) -> None:
    pod = made("pods", {"metadata": {"annotations": {APPARMOR: value}}, **change})
    context = pod["spec"]["containers"][0].get("securityContext") or {}
    assert context.get("appArmorProfile") == expected
