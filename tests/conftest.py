"""Fixtures shared by all tests. Its being here also puts this folder on `sys.path`, for the fakes."""

from __future__ import annotations

import fake_bench
import pytest
from fakes import ReachWorld, make_world
from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> ReachWorld:
    """A registered two-joint robot, six demonstrations of its two tasks, and a half-trained policy."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a registered robot whose two tasks differ in all that matters to a generalist."""
    fake_bench.register(tmp_path_factory.mktemp("bench"))
    return "bench"
