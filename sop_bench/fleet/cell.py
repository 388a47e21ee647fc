"""A cell: one fleet post-training one policy once, as plain data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.identity import plain
from sop_bench.fleet.jobs import SupervisorConfig
from sop_bench.fleet.latency import FIELD, ZERO, LatencyProfile
from sop_bench.learner.optimiser import LearnerConfig
from sop_bench.learner.sampler import SamplerConfig
from sop_bench.posttrain.base import Algorithm
from sop_bench.posttrain.hg_dagger import HGDagger
from sop_bench.robot import Split
from sop_bench.supervision.operator import OperatorConfig

# What may differ when a cell is resumed: files may have moved, as long as their content is the same.
_FREE = frozenset({"checkpoint", "demos"})
ROUNDING_S = 1e-6  # so that a span which ends with the run is not lost to a sum of floats


@dataclass(frozen=True)
class EvaluationPlan:
    """When and on what the newest published policy is evaluated, alone.

    Attributes:
        times_s: Fleet clock, rising.
        seeds: Scenes of each task; the same at every time, which pairs comparisons.
        station_seeds: Stations, taken in turn by scene.
        chunk: Scenes computed by one job at most.
    """

    times_s: tuple[float, ...] = ()
    seeds: tuple[int, ...] = tuple(range(30_000_000, 30_000_100))
    split: Split = "test"
    station_seeds: tuple[int, ...] = (1, 2, 3, 4)
    chunk: int = 25


@dataclass(frozen=True)
class Rounds:
    """Post-training as it was before SOP: collect a round, train, deploy, and again.

    Through a whole round the robots act with the version that the round before ended with. Then they wait:
    until everything they finished has been uploaded, the learner has taken the round's gradient steps, and
    each of them has the new version. That is the form of the paper's baseline (collect, train, redeploy); its
    numbers of rounds, data and hours of attention are not reported. Training goes on from the weights of the
    round before, on demonstrations and all rounds so far, because starting again from the checkpoint would
    waste the gradient steps of all rounds but the last.

    While robots wait, the fleet's clock stands. It counts the time in which robots are used, so equal clocks
    are equal robot-hours and, learner speeds being equal, equal gradient steps at the end of every round; on
    a wall, the fleet in rounds would take twice as long. An episode that is under way when a round ends is
    finished with the weights it began with, and is trained on at the end of the next round.

    Attributes:
        count: Equally long rounds in the whole duration.
        attention_s: Operator-seconds that may have been charged by the end of each round. Once they are,
            robots run unsupervised until the next round begins; an episode then under way is not cut, so
            the cap is exceeded by one episode of each robot at most. Empty for no cap.
    """

    count: int
    attention_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class CellConfig:
    """Everything that decides the records of one cell. Times are seconds of the fleet's virtual clock.

    Attributes:
        adapter: Registered robot name.
        tasks: What is trained, with equal shares.
        checkpoint: The pretrained policy that robots and learner start from.
        demos: Folder of demonstration files, the offline data; of those, the ones of `tasks` are used.
        robots: Fleet size; 0 is the control, whose learner takes the same steps on offline data alone.
        seed: Names every random stream.
        duration_s: The run ends here; what is under way is cut off.
        reset_s: For a person to set up a station before each episode; the robot pulls weights as it begins.
        station_seeds: Robot i stands at the i-th of these, in turn.
        robot_tasks: The tasks of each robot, which it does in turn; empty for all tasks on every robot.
        operators: People who supervise, one episode (with its reset) at a time; ``None`` for one per robot.
        without_operator: What a robot does when all are busy: ``wait``, or run ``unsupervised``.
        latency: Delays of data and weights.
        learner_steps_per_s: Speed of the learner.
        learner_start_s: When the learner begins.
        publish_every: Learner steps in a span; each ends with a new version.
        rounds: Collect, train and deploy in turns instead of at once; a span is then a whole round.
        execute_steps: Steps of a chunk executed before the policy is asked again; ``None`` for as many as the
            policy says.
        supervisor: How operators behave; ``None`` for nobody.
        pixels: Images kept with online episodes: of the frames the algorithm trains on, or of all.
        save_every: Spans between saves of the whole learner; a resumed cell computes again those since.
        keep_updates: Keep every published version, not only those that something may still need.
        keep_episodes: Keep episode files that a saved learner has taken in.
    """

    adapter: str
    tasks: tuple[str, ...]
    checkpoint: Path
    demos: Path
    robots: int = 1
    seed: int = 0
    duration_s: float = 1200.0
    reset_s: float = 10.0
    station_seeds: tuple[int, ...] = (1, 2, 3, 4)
    robot_tasks: tuple[tuple[str, ...], ...] = ()
    operators: int | None = None
    without_operator: Literal["wait", "unsupervised"] = "wait"
    latency: LatencyProfile = FIELD
    learner_steps_per_s: float = 1.0
    learner_start_s: float = 0.0
    publish_every: int = 25
    rounds: Rounds | None = None
    execute_steps: int | None = None
    evaluation: EvaluationPlan = field(default_factory=EvaluationPlan)
    supervisor: SupervisorConfig | None = field(default_factory=OperatorConfig)
    algorithm: Algorithm = field(default_factory=HGDagger)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    pixels: Literal["trainable", "all"] = "trainable"
    save_every: int = 20
    keep_updates: bool = False
    keep_episodes: bool = True

    def __post_init__(self):
        for name in ("duration_s", "reset_s", "learner_steps_per_s", "publish_every", "save_every"):
            # Resets of no length would leave no time to compute an episode in.
            self._check(name, getattr(self, name) > 0, "above 0")
        self._check("robots", self.robots >= 0, "0 (the control) or more")
        self._check("operators", self.operators is None or self.operators >= 1, "1 or more, or None")
        self._check("tasks", bool(self.tasks), "at least one task")
        self._check("station_seeds", bool(self.station_seeds), "at least one station")
        known = all(tasks and set(tasks) <= set(self.tasks) for tasks in self.robot_tasks)
        self._check("robot_tasks", known, f"tasks out of {self.tasks} for each robot")
        count = len(self.robot_tasks)
        self._check("robot_tasks", count in (0, self.robots), "none, or one entry per robot")
        times = self.evaluation.times_s
        rising = all(a < b for a, b in pairwise(times))
        inside = not times or (times[0] >= 0 and times[-1] <= self.duration_s)
        self._check("evaluation", rising and inside, "rising times between 0 and duration_s")
        if self.rounds is not None:
            self._check_rounds(self.rounds)

    def _check_rounds(self, rounds: Rounds) -> None:
        self._check("learner_start_s", self.learner_start_s == 0, "0 with rounds, which say when it trains")
        steps = self.learner_steps
        self._check(
            "rounds",
            rounds.count >= 1 and steps > 0 and steps % rounds.count == 0,
            f"a count that divides the {steps} gradient steps of this duration",
        )
        capped = len(rounds.attention_s)
        self._check("rounds", capped in (0, rounds.count), "attention_s for every round, or for none")

    def _check(self, name: str, allowed: bool, what: str) -> None:
        if not allowed:
            raise ConfigurationError(f"CellConfig.{name} is {getattr(self, name)!r}; allowed: {what}.")

    @property
    def span_s(self) -> float:
        """Time between two versions: what the learner takes for the steps between them, or a round."""
        if self.rounds is not None:
            return self.duration_s / self.rounds.count
        return self.publish_every / self.learner_steps_per_s

    @property
    def span_steps(self) -> int:
        """Gradient steps between two versions."""
        return self.learner_steps // self.rounds.count if self.rounds is not None else self.publish_every

    @property
    def learner_steps(self) -> int:
        """Gradient steps of the whole run, in rounds or not: those of all spans that end within it."""
        span_s = self.publish_every / self.learner_steps_per_s
        return int((self.duration_s - self.learner_start_s + ROUNDING_S) // span_s) * self.publish_every

    @property
    def delays(self) -> LatencyProfile:
        """What data and weights take on the fleet's clock, which stands while rounds wait for them."""
        return self.latency if self.rounds is None else ZERO

    def round_at(self, time_s: float) -> int:
        """Number of the round, from 0, that a time belongs to; only with rounds."""
        assert self.rounds is not None
        return min(int(time_s // self.span_s), self.rounds.count - 1)

    def station_of(self, robot: int) -> int:
        return self.station_seeds[robot % len(self.station_seeds)]

    def task_of(self, robot: int, episode: int) -> str:
        """What a robot does in its n-th episode."""
        if self.robot_tasks:
            mine = self.robot_tasks[robot]
            return mine[episode % len(mine)]
        return self.tasks[(robot + episode) % len(self.tasks)]

    def demonstration_files(self) -> list[Path]:
        """The offline data, in order.

        Raises:
            ConfigurationError: There is none.
        """
        files = sorted(self.demos.rglob("*.parquet"))  # a mixture has a folder for each task
        if not files:
            raise ConfigurationError(
                f"No demonstrations in {self.demos}; expected Parquet files. Make some with "
                f"`sop-bench demos --output {self.demos}`."
            )
        return files

    def identity(self) -> dict[str, Any]:
        """What two runs must share to have the same records: the settings, and the content of the files.

        Raises:
            ConfigurationError: A file is missing.
        """
        settings = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name not in _FREE}
        if self.rounds is None:
            del settings["rounds"]  # younger than other settings: runs without it keep the names they had
        if not self.checkpoint.exists():
            raise ConfigurationError(
                f"No checkpoint at {self.checkpoint}. Make one with `sop-bench pretrain`."
            )
        demos = hashlib.sha256()
        for file in self.demonstration_files():
            demos.update(f"{file.relative_to(self.demos)} {file.stat().st_size}\n".encode())
        content = {
            "checkpoint": hashlib.sha256(self.checkpoint.read_bytes()).hexdigest(),
            "demos": demos.hexdigest(),
        }
        return {**settings, **content}
