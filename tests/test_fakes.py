"""The fake robot keeps the contract that the real ones keep."""

from __future__ import annotations

from conformance import RobotConformance
from fakes import ReachRobot

from sop_bench.robot import Robot


class TestReachRobot(RobotConformance):
    def make(self) -> Robot:
        return ReachRobot(0)
