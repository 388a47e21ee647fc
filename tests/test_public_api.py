"""What `import sop_bench` offers is a list, kept on purpose."""

from __future__ import annotations

import inspect

import sop_bench


def test_all_names_what_is_exported_and_nothing_else():
    exported = {
        name
        for name, value in vars(sop_bench).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert sorted(exported) == sop_bench.__all__


def test_everything_exported_is_documented():
    assert [name for name in sop_bench.__all__ if not inspect.getdoc(getattr(sop_bench, name))] == []
