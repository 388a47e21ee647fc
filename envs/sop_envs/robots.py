"""The robots this package offers to `sop_bench.robot.make_robot`."""

from __future__ import annotations

from sop_envs.simulated import SimulatedSo101
from sop_envs.station import draw_station
from sop_envs.tasks.registry import TASKS


def make_so101(station_seed: int = 0) -> SimulatedSo101:
    """A simulated bimanual SO-101 desk; seed 0 is nominal, others are drawn (`sop_envs.station`)."""
    return SimulatedSo101(draw_station(station_seed), TASKS)
