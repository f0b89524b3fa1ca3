"""A scheduler's configuration file: what it means, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from navarch.apimachinery.errors import Object
from navarch.scheduler import configuration, loading
from navarch.scheduler.configuration import Configuration, parse
from navarch.scheduler.plugins import IN_TREE
from navarch.scheduler.profiles import ConfigurationError, Profile, resolve


def document(**fields: Any) -> Object:
    return {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", **fields}


def profile(**fields: Any) -> Object:
    return document(profiles=[fields])


EXTENDER = {"urlPrefix": "http://127.0.0.1:1"}


def managing(resource: str) -> Object:
    return {**EXTENDER, "filterVerb": "f", "managedResources": [{"name": resource}]}


def points(found: Configuration) -> tuple[dict[str, list[str]], dict[str, int]]:
    return resolve(found.profiles[0], IN_TREE, "profiles[0]")


def test_without_anything_it_is_the_default_profile() -> None:
    found = parse(document())
    assert found == Configuration()
    names, weights = points(found)
    assert names["queueSort"] == ["PrioritySort"]
    assert names["preEnqueue"] == ["SchedulingGates", "DynamicResources", "DefaultPreemption"]
    assert weights == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "DynamicResources": 1,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }


def test_plugins_can_be_left_out_put_in_another_order_and_weighed_anew() -> None:
    plugins = {
        "multiPoint": {"enabled": [{"name": "ImageLocality", "weight": 7}], "disabled": [{"name": "NodePorts"}]},
        "score": {"enabled": [{"name": "NodeAffinity", "weight": 9}], "disabled": [{"name": "*"}]},
    }
    names, weights = points(parse(profile(plugins=plugins)))
    assert "NodePorts" not in names["filter"]
    assert "NodeResourcesFit" in names["filter"]
    assert names["score"] == ["NodeAffinity"]
    assert (weights["NodeAffinity"], weights["ImageLocality"]) == (9, 7)


def test_what_is_named_at_a_point_has_its_weight_and_its_place_from_there() -> None:
    enabled = [{"name": "ImageLocality"}, {"name": "TaintToleration"}]
    names, weights = points(parse(profile(plugins={"score": {"enabled": enabled}})))
    assert names["score"][:3] == ["ImageLocality", "TaintToleration", "NodeAffinity"]
    assert weights["TaintToleration"] == 1
    enabled = [{"name": "Mine"}, {"name": "NodePorts"}, {"name": "NodeName"}]
    plugins = {"filter": {"enabled": enabled, "disabled": [{"name": "*"}]}}
    found = parse(profile(plugins=plugins), {"Mine": IN_TREE["NodeName"]})
    names, _ = resolve(found.profiles[0], {**IN_TREE, "Mine": IN_TREE["NodeName"]}, "profiles[0]")
    assert names["filter"] == ["Mine", "NodePorts", "NodeName"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"kind": "Pod"}, "apiVersion kubescheduler.config.k8s.io/v1 and kind KubeSchedulerConfiguration are expected"),
        (document(profile=[]), 'profile: unknown field "profile"'),
        (profile(plugin={}), 'profiles[0].plugin: unknown field "plugin"'),
        (
            profile(plugins={"score": {"enabled": [{"name": "NodeNames"}]}}),
            'profiles[0].plugins.score.enabled[0].name: unknown plugin "NodeNames"',
        ),
        (
            profile(plugins={"score": {"enabled": [{"name": "NodeAffinity", "weight": -1}]}}),
            "profiles[0].plugins.score.enabled[0].weight: Invalid value: -1: not in valid range [0-2147483647]",
        ),
        (
            profile(plugins={"score": {"enabled": [{"name": "NodeAffinity", "weight": "2"}]}}),
            "profiles[0].plugins.score.enabled[0].weight: an integer is expected",
        ),
        (
            profile(plugins={"score": {"enabled": [{"name": "NodePorts"}]}}),
            'profiles[0].plugins.score: plugin "NodePorts" does not extend score plugin',
        ),
        (profile(plugins={"sort": {}}), 'profiles[0].plugins.sort: unknown field "sort"'),
        (
            profile(pluginConfig=[{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "Best"}}}]),
            'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "Best": '
            'supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"',
        ),
        (
            profile(pluginConfig=[{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 101}}]),
            "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        ),
        (
            profile(pluginConfig=[{"name": "InterPodAffinity", "args": {"hardPodAffinity": 1}}]),
            'profiles[0].pluginConfig[0].args.hardPodAffinity: unknown field "hardPodAffinity"',
        ),
        (
            document(profiles=[{"schedulerName": "a"}, {"schedulerName": "a"}]),
            'profiles[1].schedulerName: Duplicate value: "a"',
        ),
        (document(profiles=[{"schedulerName": "a"}, {}]), "profiles[1].schedulerName: Required value"),
        (document(parallelism=0), "parallelism: Invalid value: 0: should be an integer value greater than zero"),
        (document(percentageOfNodesToScore=101), "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        (
            document(podInitialBackoffSeconds=0, podMaxBackoffSeconds=-1),
            "[podInitialBackoffSeconds: Invalid value: 0: must be greater than 0, "
            "podMaxBackoffSeconds: Invalid value: -1: must be greater than or equal to PodInitialBackoffSeconds]",
        ),
        (
            document(leaderElection={"resourceLock": "configmaps"}),
            'leaderElection.resourceLock: Invalid value: "configmaps": resourceLock value must be "leases"',
        ),
        (
            profile(pluginConfig=[{"name": "NodeName"}, {"name": "NodeName"}]),
            'profiles[0].pluginConfig[1]: Duplicate value: "NodeName"',
        ),
        (
            document(extenders=[{**EXTENDER, "prioritizeVerb": "p", "weight": -1}]),
            "extenders[0].weight: Invalid value: -1: must have a positive weight applied to it",
        ),
        (
            document(extenders=[{**EXTENDER, "bindVerb": "b"}, {**EXTENDER, "bindVerb": "b"}]),
            'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind',
        ),
        (
            document(extenders=[managing("example.com/a"), managing("example.com/a")]),
            'extenders[1].managedResources[0].name: Invalid value: "example.com/a": duplicate extender managed resource name',
        ),
        (
            document(extenders=[{**EXTENDER, "tlsConfig": {"serverName": "a"}}]),
            'extenders[0].tlsConfig.serverName: unknown field "serverName"',
        ),
        (
            document(extenders=[managing("kubernetes.io/a")]),
            'extenders[0].managedResources[0].name: Invalid value: "kubernetes.io/a": is an invalid extended resource name',
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(found: Object, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(found)
    assert str(refused.value) == message


POINTS = [{"utilization": 20, "score": 11}, {"utilization": 20, "score": 1}, {"utilization": 101, "score": 2}]
AFFINITY = "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]"


@pytest.mark.parametrize(
    ("plugin", "args", "errors"),
    [
        (
            "DefaultPreemption",
            {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0},
            [
                "minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute",
                "minCandidateNodesAbsolute: Invalid value: 0: cannot be zero at the same time as minCandidateNodesPercentage",
            ],
        ),
        (
            "PodTopologySpread",
            {"defaultConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]},
            ['defaultingType: Invalid value: "System": when .defaultConstraints are not empty'],
        ),
        (
            "PodTopologySpread",
            {
                "defaultingType": "List",
                "defaultConstraints": [
                    {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1},
                    {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
                    {"maxSkew": 1, "whenUnsatisfiable": "Never"},
                ],
            },
            [
                "defaultConstraints[1].maxSkew: Invalid value: 0: not in valid range (0, inf)",
                "defaultConstraints[1].labelSelector: Forbidden: constraint must not define a selector, "
                "as they deduced for each pod",
                'defaultConstraints[1]: Duplicate value: "{zone, DoNotSchedule}"',
                "defaultConstraints[2].topologyKey: Required value: can not be empty",
                'defaultConstraints[2].whenUnsatisfiable: Unsupported value: "Never": '
                'supported values: "DoNotSchedule", "ScheduleAnyway"',
            ],
        ),
        (
            "NodeResourcesFit",
            {"ignoredResourceGroups": ["example.com/a"], "scoringStrategy": {"type": "RequestedToCapacityRatio"}},
            [
                "ignoredResourceGroups[0]: Invalid value: \"example.com/a\": resource group name can't contain '/'",
                "scoringStrategy.requestedToCapacityRatio: Required value: "
                "must be specified when type is RequestedToCapacityRatio",
            ],
        ),
        (
            "NodeResourcesFit",
            {
                "scoringStrategy": {
                    "type": "LeastAllocated",
                    "resources": [{"name": "cpu", "weight": 101}, {"name": "memory", "weight": 0}],
                    "requestedToCapacityRatio": {"shape": []},
                }
            },
            [
                "scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]",
                "scoringStrategy.requestedToCapacityRatio: Forbidden: must be nil when type is not RequestedToCapacityRatio",
            ],
        ),
        (
            "NodeResourcesFit",
            {"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": POINTS}}},
            [
                f"scoringStrategy.requestedToCapacityRatio.shape{text}"
                for text in (
                    "[1].utilization: Invalid value: 20: values must be sorted in increasing order",
                    "[0].score: Invalid value: 11: not in valid range [0, 10]",
                    "[2].utilization: Invalid value: 101: not in valid range [0, 100]",
                )
            ],
        ),
        (
            "NodeResourcesBalancedAllocation",
            {"resources": [{"name": "cpu"}, {"name": "cpu", "weight": 2}]},
            ['resources[1].name: Duplicate value: "cpu"', "resources[1].weight: Invalid value: 2: must be 1"],
        ),
        (
            "NodeAffinity",
            {
                "addedAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Like"}]}]
                    }
                }
            },
            [f'{AFFINITY}.operator: Invalid value: "Like": not a valid selector operator'],
        ),
        (
            "VolumeBinding",
            {"bindTimeoutSeconds": -1},
            ["bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value"],
        ),
        (
            "DynamicResources",
            {"filterTimeout": "-1s", "bindingTimeout": "500ms"},
            [
                'filterTimeout: Invalid value: "-1s": must be zero or positive',
                'bindingTimeout: Invalid value: "500ms": must be at least 1 second',
            ],
        ),
    ],
)
def test_arguments_of_plugins_that_cannot_be_are_all_told(plugin: str, args: Object, errors: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(profile(pluginConfig=[{"name": plugin, "args": args}]))
    told = [f"profiles[0].pluginConfig[0].args.{error}" for error in errors]
    assert str(refused.value) == (told[0] if len(told) == 1 else f"[{', '.join(told)}]")


def test_a_weight_of_none_or_zero_is_one() -> None:
    resources = [{"name": "cpu"}, {"name": "memory", "weight": 0}]
    strategy = {"type": "MostAllocated", "resources": resources}
    for plugin, args in (
        ("NodeResourcesFit", {"scoringStrategy": strategy}),
        ("NodeResourcesBalancedAllocation", {"resources": resources}),
    ):
        parse(profile(pluginConfig=[{"name": plugin, "args": args}]))


def test_the_file_is_named_in_what_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.yaml"
    file.write_text(yaml.safe_dump(document(profiles=[{"schedulerName": 3}])))
    with pytest.raises(ConfigurationError, match=rf"^{file}: profiles\[0\]\.schedulerName: a string is expected$"):
        configuration.load(file)
    file.write_text("{")
    with pytest.raises(ConfigurationError, match=f"^{file}: not YAML"):
        configuration.load(file)
    with pytest.raises(ConfigurationError, match="No such file"):
        configuration.load(tmp_path / "none")


PLUGIN = """
from navarch.scheduler.framework import Plugin

class Mine(Plugin):
    name = "Mine"

    def pre_enqueue(self, pod):
        return None
"""


def test_plugins_come_from_files_and_can_then_be_enabled(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    more = loading.load([file])
    found = parse(profile(plugins={"multiPoint": {"enabled": [{"name": "Mine"}]}}), more)
    names, _ = resolve(found.profiles[0], {**IN_TREE, **more}, "profiles[0]")
    assert names["preEnqueue"][-1] == "Mine"
    file.write_text(PLUGIN.replace('"Mine"', '"NodePorts"'))
    with pytest.raises(ConfigurationError, match='there is a plugin "NodePorts" already'):
        loading.load([file])
    file.write_text("1 / 0")
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        loading.load([file])


def test_a_profile_without_a_way_to_bind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"profiles\[0\]\.plugins\.bind: at least one bind plugin is needed"):
        parse(profile(plugins={"bind": {"disabled": [{"name": "DefaultBinder"}]}}))
    assert Profile().scheduler_name == "default-scheduler"


def test_a_plugin_that_is_named_twice_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r'^profiles\[0\]\.plugins\.multiPoint: plugin "NodePorts" already registered'):
        parse(profile(plugins={"multiPoint": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodePorts"}] * 2}}))


def test_a_field_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.yaml"
    file.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        "profiles: [{schedulerName: one}]\nprofiles: [{schedulerName: two}]\n"
    )
    with pytest.raises(ConfigurationError, match=r'scheduler\.yaml: line 4: key "profiles" already set in map'):
        configuration.load(file)
