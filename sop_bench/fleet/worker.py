"""The life of a worker process. It imports nothing heavy until it has limited itself to one core."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

from sop_bench.errors import SopBenchError


class RemoteTracebackError(Exception):
    """The traceback of an exception in a worker, shown as the cause of the one raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def serve(connection: Connection) -> None:
    """Take a task, answer, and again, until the other side is gone."""
    _prepare_process()
    while True:
        try:
            payload = connection.recv_bytes()
        except (EOFError, OSError):
            return
        answer = _attempt(payload)
        try:
            connection.send_bytes(answer)
        except OSError:
            return


def _attempt(payload: bytes) -> bytes:
    try:
        job, args = pickle.loads(payload)
        return bytes(ForkingPickler.dumps((True, job(*args))))
    except Exception as error:
        cause = RemoteTracebackError(traceback.format_exc())
        try:
            answer = bytes(ForkingPickler.dumps((False, _Raised(error, cause))))
            pickle.loads(answer)
            return answer
        except Exception:  # an exception that does not survive pickling still has a text
            text = SopBenchError(f"{type(error).__name__}: {error}")
            return bytes(ForkingPickler.dumps((False, _Raised(text, cause))))


class _Raised:
    """Pickles as the exception itself with its remote traceback as the cause (pickle drops causes)."""

    def __init__(self, error: Exception, cause: RemoteTracebackError):
        self._error, self._cause = error, cause

    def __reduce__(self) -> tuple[Callable[..., Exception], tuple[Exception, RemoteTracebackError]]:
        return _with_cause, (self._error, self._cause)


def _with_cause(error: Exception, cause: RemoteTracebackError) -> Exception:
    error.__cause__ = cause
    return error


def _prepare_process() -> None:
    """One core per worker, headless rendering, and an end together with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
