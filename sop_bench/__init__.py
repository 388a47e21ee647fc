"""Scalable online post-training of vision-language-action policies: the open, reproducible benchmark.

What a robot adapter, a policy or a study needs is exported here; everything else is found in its module.
"""

from sop_bench.episode import Episode, EpisodeHeader, Frames, Source, load_episode, save_episode
from sop_bench.errors import (
    ConfigurationError,
    ContractError,
    CorruptDataError,
    RobotFaultError,
    SopBenchError,
)
from sop_bench.policy.base import Policy, PolicyVersion
from sop_bench.robot import (
    CameraSpec,
    Observation,
    Outcome,
    Robot,
    RobotSpec,
    Step,
    installed_robots,
    make_robot,
)
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.supervision.base import Decision, Supervisor

__all__ = [
    "CameraSpec",
    "ConfigurationError",
    "ContractError",
    "CorruptDataError",
    "Decision",
    "Episode",
    "EpisodeHeader",
    "EpisodeRequest",
    "Frames",
    "Observation",
    "Outcome",
    "Policy",
    "PolicyVersion",
    "Robot",
    "RobotFaultError",
    "RobotSpec",
    "SopBenchError",
    "Source",
    "Step",
    "Supervisor",
    "installed_robots",
    "load_episode",
    "make_robot",
    "run_episode",
    "save_episode",
]
