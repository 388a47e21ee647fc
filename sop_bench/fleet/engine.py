"""Engines compute the numeric work of a fleet: episodes, evaluations and spans of learner steps.

A caller submits a top-level function and plain arguments, and gets a future::

    with make_engine(workers=2) as engine:
        future = engine.submit(run_episode_job, job)                          # any idle worker
        span = engine.submit(train_span_job, job, affinity="learner/cell-0")  # always the same worker
        summary = future.result()

Results never depend on the engine or on the number of workers: jobs are pure functions, and what a worker
keeps between jobs is a cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from sop_bench.fleet.processes import ProcessEngine

R = TypeVar("R")


class Engine(Protocol):
    """Computes futures. May be shared between threads."""

    def submit(
        self,
        job: Callable[..., R],
        /,
        *args: Any,
        affinity: str | None = None,
        background: bool = False,
    ) -> Future[R]:
        """Compute ``job(*args)``, a picklable top-level function of picklable arguments.

        Args:
            affinity: Tasks with equal affinity run on the same worker, in order of submission.
            background: Run only when no other task is waiting (nobody waits for this one soon).
        """
        ...

    def close(self) -> None:
        """Drop tasks that have not started and end all workers. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class InlineEngine:
    """Computes each task in this process, at once: for tests, debuggers, and ``workers=0``."""

    def __init__(self):
        self._one_at_a_time = threading.RLock()  # jobs share this process's robots

    def submit(
        self,
        job: Callable[..., R],
        /,
        *args: Any,
        affinity: str | None = None,
        background: bool = False,
    ) -> Future[R]:
        del affinity, background
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        try:
            with self._one_at_a_time:
                result = job(*args)
        except Exception as error:  # the future carries it to the caller; Ctrl-C is left to fly
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RememberingEngine:
    """Computes what is said to be `shared` once, however often it is submitted.

    Every cell of a study evaluates the same pretrained policy on the same scenes, for example.

    Args:
        engine: What computes.
        shared: Jobs that change nothing outside of their result, of hashable arguments.
    """

    def __init__(self, engine: Engine, *shared: Callable[..., Any]):
        self._engine, self._shared = engine, shared
        self._futures: dict[tuple[Any, ...], Future[Any]] = {}
        self._lock = threading.Lock()

    def submit(
        self,
        job: Callable[..., R],
        /,
        *args: Any,
        affinity: str | None = None,
        background: bool = False,
    ) -> Future[R]:
        if job not in self._shared:
            return self._engine.submit(job, *args, affinity=affinity, background=background)
        with self._lock:
            key = (job, *args)
            if key not in self._futures or self._futures[key].cancelled():
                self._futures[key] = self._engine.submit(job, *args, affinity=affinity, background=background)
            return self._futures[key]

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_engine(workers: int) -> Engine:
    """Local processes, or this process alone for ``workers=0``."""
    return ProcessEngine(workers) if workers else InlineEngine()
