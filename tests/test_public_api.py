"""What `import sop_bench` offers is a list, kept on purpose; so is what adapters import from `robot`."""

from __future__ import annotations

import inspect

import sop_bench
from sop_bench import capabilities, robot, robot_spec


def test_all_names_what_is_exported_and_nothing_else():
    exported = {
        name
        for name, value in vars(sop_bench).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert sorted(exported) == sop_bench.__all__


def test_everything_exported_is_documented():
    assert [name for name in sop_bench.__all__ if not inspect.getdoc(getattr(sop_bench, name))] == []


def test_an_adapter_finds_everything_about_robots_in_one_module():
    defined = {
        name
        for module in (robot, robot_spec, capabilities)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }
    assert defined | {"ROBOTS_GROUP", "Split"} == set(robot.__all__)
