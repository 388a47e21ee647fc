"""Fixtures shared by all tests. Its being here also puts this folder on `sys.path`, for the fakes."""

from __future__ import annotations

import pytest
from fakes import ReachWorld, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> ReachWorld:
    """A registered two-joint robot, six demonstrations of its two tasks, and a half-trained policy."""
    return make_world(tmp_path_factory.mktemp("world"))
