"""Engines: what is promised of futures, workers and their deaths."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Thread

import pytest

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.engine import Engine, InlineEngine, RememberingEngine, make_engine
from sop_bench.fleet.processes import ProcessEngine, WorkerDiedError
from sop_bench.fleet.worker import RemoteTracebackError


def add(left: int, right: int) -> int:
    return left + right


def worker_id(pause_s: float = 0.0) -> int:
    time.sleep(pause_s)
    return os.getpid()


def fail(message: str) -> None:
    raise CorruptDataError(message)


class TwoArgumentError(Exception):
    def __init__(self, left: str, right: str):
        super().__init__(f"{left}{right}")


def fail_oddly() -> None:
    raise TwoArgumentError("does not ", "unpickle")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_the_first_time(marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        die()
    return "second attempt"


@pytest.fixture(scope="module")
def processes():
    with ProcessEngine(2) as engine:
        yield engine


@pytest.fixture(params=["inline", "processes"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return InlineEngine() if request.param == "inline" else request.getfixturevalue("processes")


def test_a_future_carries_the_result(engine: Engine):
    assert engine.submit(add, 2, 3).result(60) == 5


def test_a_future_carries_the_exception_with_its_type_and_message(engine: Engine):
    with pytest.raises(CorruptDataError, match="shelf 7"):
        engine.submit(fail, "shelf 7").result(60)


def test_a_remote_exception_shows_the_remote_traceback(processes: ProcessEngine):
    error = processes.submit(fail, "x").exception(60)
    assert error is not None
    assert isinstance(error.__cause__, RemoteTracebackError)
    assert "in fail" in str(error.__cause__)


def test_an_exception_that_does_not_unpickle_still_arrives(processes: ProcessEngine):
    with pytest.raises(Exception, match="TwoArgumentError: does not unpickle"):
        processes.submit(fail_oddly).result(60)


def test_tasks_of_one_affinity_share_a_worker_and_different_ones_spread(processes: ProcessEngine):
    first = {processes.submit(worker_id, affinity="a").result(60) for _ in range(4)}
    second = {processes.submit(worker_id, affinity="b").result(60) for _ in range(4)}
    assert len(first) == len(second) == 1
    assert first != second


def test_free_tasks_use_every_worker(processes: ProcessEngine):
    futures = [processes.submit(worker_id, 0.2) for _ in range(4)]
    assert len({future.result(60) for future in futures}) == 2


def test_threads_may_share_an_engine(processes: ProcessEngine):
    sums: list[int] = []

    def cell(k: int) -> None:
        sums.append(sum(processes.submit(add, k, i).result(60) for i in range(5)))

    threads = [Thread(target=cell, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sums) == [10, 15, 20, 25]


def test_a_task_whose_worker_dies_is_tried_once_more(processes: ProcessEngine, tmp_path: Path):
    assert processes.submit(die_the_first_time, tmp_path / "died").result(60) == "second attempt"


def test_a_task_that_kills_its_worker_twice_fails_and_the_worker_is_replaced(processes: ProcessEngine):
    with pytest.raises(WorkerDiedError, match=r"'die' died 2 times \(last exit code -9"):
        processes.submit(die).result(60)
    assert processes.submit(add, 1, 1).result(60) == 2


def test_background_tasks_give_way():
    with ProcessEngine(1) as engine:
        engine.submit(worker_id, 0.5)
        order: list[str] = []
        behind = engine.submit(add, 1, 1, background=True)
        behind.add_done_callback(lambda _: order.append("background"))
        front = engine.submit(add, 1, 1)
        front.add_done_callback(lambda _: order.append("foreground"))
        behind.result(60)
    assert order == ["foreground", "background"]


def test_closing_cancels_what_waits_and_ends_the_workers():
    engine = ProcessEngine(1)
    pid = engine.submit(worker_id).result(60)
    running = engine.submit(worker_id, 60.0)
    waiting = engine.submit(add, 1, 1)
    time.sleep(0.2)
    engine.close()
    engine.close()
    with pytest.raises(CancelledError):
        waiting.result(5)
    with pytest.raises(WorkerDiedError, match="engine was closed"):
        running.result(5)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ConfigurationError, match="closed"):
        engine.submit(add, 1, 1)


def test_zero_workers_means_this_process_and_negative_ones_are_refused():
    assert isinstance(make_engine(0), InlineEngine)
    with pytest.raises(ConfigurationError, match="workers=-1"):
        ProcessEngine(-1)


def test_what_is_shared_is_computed_once_and_nothing_else_is():
    engine = RememberingEngine(InlineEngine(), time.perf_counter_ns, add)
    assert engine.submit(time.perf_counter_ns).result() == engine.submit(time.perf_counter_ns).result()
    assert [engine.submit(add, 1, right).result() for right in (1, 2)] == [2, 3]
    other = RememberingEngine(InlineEngine())
    assert other.submit(time.perf_counter_ns).result() < other.submit(time.perf_counter_ns).result()
