"""The engine of one machine: long-lived worker processes, each served by a thread here."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Self, TypeVar

from sop_bench.errors import ConfigurationError, SopBenchError
from sop_bench.fleet.worker import serve

R = TypeVar("R")

_ATTEMPTS = 2
_GRACE_S = 5.0


class WorkerDiedError(SopBenchError):
    """Worker processes were killed while they computed a task: look for a lack of memory, then run again."""


@dataclass
class _Task:
    payload: bytes
    name: str
    future: Future[Any]


@dataclass
class _Queues:
    """What waits: tasks bound to one worker, then tasks for anybody, then background tasks."""

    bound: list[deque[_Task]]
    anybody: deque[_Task] = field(default_factory=deque)
    background: deque[_Task] = field(default_factory=deque)

    def next_for(self, worker: int) -> _Task | None:
        for queue in (self.bound[worker], self.anybody, self.background):
            if queue:
                return queue.popleft()
        return None

    def drain(self) -> list[_Task]:
        queues = [*self.bound, self.anybody, self.background]
        tasks = [task for queue in queues for task in queue]
        for queue in queues:
            queue.clear()
        return tasks


class ProcessEngine:
    """Long-lived local worker processes, each served by one thread here.

    Workers are spawned, not forked (threads and GL contexts do not survive a fork), use one core each, and
    end by themselves when this process is gone, however it went. A task whose worker dies is tried once more
    on a fresh worker.

    Args:
        workers: Number of processes, at least 1.
    """

    def __init__(self, workers: int):
        if workers < 1:
            raise ConfigurationError(
                f"ProcessEngine got workers={workers}; allowed: 1 or more. `make_engine(0)` computes in this "
                f"process."
            )
        self.workers = workers
        self._changed = threading.Condition()
        self._queues = _Queues([deque() for _ in range(workers)])
        self._homes: dict[str, int] = {}
        self._closed = False
        self._lanes = [_Lane(self, index) for index in range(workers)]
        for lane in self._lanes:
            lane.start()

    def submit(
        self,
        job: Callable[..., R],
        /,
        *args: Any,
        affinity: str | None = None,
        background: bool = False,
    ) -> Future[R]:
        task = _Task(
            bytes(ForkingPickler.dumps((job, args))), getattr(job, "__name__", repr(job)), future=Future()
        )
        with self._changed:
            if self._closed:
                raise ConfigurationError("This engine is closed; make a new one to submit tasks.")
            if affinity is not None:
                self._queues.bound[self._home(affinity)].append(task)
            else:
                (self._queues.background if background else self._queues.anybody).append(task)
            self._changed.notify_all()
        return task.future

    def _home(self, affinity: str) -> int:
        if affinity not in self._homes:
            taken = Counter(self._homes.values())
            self._homes[affinity] = min(range(self.workers), key=lambda worker: (taken[worker], worker))
        return self._homes[affinity]

    def next_task(self, worker: int) -> _Task | None:
        """The task `worker` is to do now, after waiting for one; ``None`` once the engine is closed."""
        with self._changed:
            while not self._closed:
                task = self._queues.next_for(worker)
                if task is not None and task.future.set_running_or_notify_cancel():
                    return task
                if task is None:
                    self._changed.wait()
            return None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            dropped = self._queues.drain()
            self._changed.notify_all()
        for task in dropped:
            task.future.cancel()
        for lane in self._lanes:
            lane.kill()
        for lane in self._lanes:
            if lane is not threading.current_thread():
                lane.join(_GRACE_S)

    @property
    def closed(self) -> bool:
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Lane(threading.Thread):
    """The thread that owns one worker process: feeds it, waits for it, and replaces it when it dies."""

    def __init__(self, engine: ProcessEngine, index: int):
        super().__init__(name=f"sop-bench-lane-{index}", daemon=True)
        self._engine, self._index = engine, index
        self._lock = threading.Lock()
        self._exit_code: int | None = None
        self._process, self._connection = self._spawn()

    def _spawn(self) -> tuple[Any, Connection]:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=serve, args=(there,), name=f"sop-bench-worker-{self._index}", daemon=True
        )
        process.start()
        there.close()
        return process, here

    def run(self) -> None:
        while (task := self._engine.next_task(self._index)) is not None:
            self._perform(task)

    def _perform(self, task: _Task) -> None:
        for _ in range(_ATTEMPTS):
            reply = self._exchange(task.payload)
            if reply is not None:
                _deliver(reply, task.future)
                return
            if not self._restart():
                task.future.set_exception(
                    WorkerDiedError(f"{task.name!r} was not finished: the engine was closed.")
                )
                return
        task.future.set_exception(
            WorkerDiedError(
                f"The worker computing {task.name!r} died {_ATTEMPTS} times (last exit code "
                f"{self._exit_code}; -9 means killed, often for lack of memory). Use fewer workers, then run "
                f"again: a study resumes where it stopped."
            )
        )

    def _exchange(self, payload: bytes) -> bytes | None:
        """Send a task and wait for its reply; ``None`` if the worker died."""
        try:
            self._connection.send_bytes(payload)
            wait([self._connection, self._process.sentinel])
            return self._connection.recv_bytes() if self._connection.poll() else None
        except (EOFError, OSError):
            return None

    def _restart(self) -> bool:
        self.kill()
        self._exit_code = self._process.exitcode
        with self._lock:
            if self._engine.closed:
                return False
            self._process, self._connection = self._spawn()
            return True

    def kill(self) -> None:
        """End the worker process at once, whatever it is doing."""
        with self._lock:
            self._process.kill()
            self._process.join(_GRACE_S)
            self._connection.close()


def _deliver(reply: bytes, future: Future[Any]) -> None:
    try:
        succeeded, value = pickle.loads(reply)
    except Exception as error:  # a value that arrives but cannot be built here
        succeeded, value = False, error
    (future.set_result if succeeded else future.set_exception)(value)
