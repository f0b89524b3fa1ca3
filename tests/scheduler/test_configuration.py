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
            "profiles[0].plugins.score.enabled[0].weight: not in valid range [0-2147483647], got -1",
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
            "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "
            "supported values: LeastAllocated, MostAllocated, RequestedToCapacityRatio",
        ),
        (
            profile(pluginConfig=[{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 101}}]),
            "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: not in valid range [0-100], got 101",
        ),
        (
            profile(pluginConfig=[{"name": "InterPodAffinity", "args": {"hardPodAffinity": 1}}]),
            'profiles[0].pluginConfig[0].args.hardPodAffinity: unknown field "hardPodAffinity"',
        ),
        (document(profiles=[{}, {}]), 'profiles[1].schedulerName: Duplicate value: "default-scheduler"'),
        (document(parallelism=0), "parallelism: should be an integer value greater than zero"),
        (document(percentageOfNodesToScore=101), "percentageOfNodesToScore: not in valid range [0-100]"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(found: Object, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(found)
    assert str(refused.value) == message


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
    from tests.scheduler.world import framework, snapshot

    found = parse(profile(plugins={"bind": {"disabled": [{"name": "DefaultBinder"}]}}))
    with pytest.raises(ConfigurationError, match="at least one bind plugin is needed"):
        framework(snapshot(), found.profiles[0])
    assert Profile().scheduler_name == "default-scheduler"
