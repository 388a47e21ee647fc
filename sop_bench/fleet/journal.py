"""The journal of a cell: every computed result, durable before anybody sees it.

The fleet's clock is deterministic, so a cell that was killed is resumed by starting again at zero and taking
what was computed from here. A line that a crash cut short is forgotten, and computed again.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypeVar

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.identity import differing


class Jsonable(Protocol):
    def to_json(self) -> Any: ...


R = TypeVar("R", bound=Jsonable)


class Journal:
    """Results by key, in ``journal.jsonl``; ``cell.json`` says whose they are.

    Args:
        directory: Of the cell; made if it is not there.
        identity: What must be equal for results to be used again.

    Raises:
        ConfigurationError: `directory` holds a cell of another identity, or somebody is running it.
        CorruptDataError: A file in it is damaged.
    """

    def __init__(self, directory: Path, identity: Mapping[str, Any]):
        directory.mkdir(parents=True, exist_ok=True)
        self.token = _claim(directory, identity)
        path = directory / "journal.jsonl"
        self._file = path.open("ab")
        try:
            _lock(self._file, directory)
            self._results = _read(path)
        except BaseException:
            self._file.close()
            raise
        self._lock = threading.Lock()
        self._pending: set[Future[Any]] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._results

    def future(self, key: str, decode: Callable[[Any], R], submit: Callable[[], Future[R]]) -> Future[R]:
        """The result called `key`: from the journal, or computed by `submit` and then kept.

        Args:
            decode: Makes the result from what its `to_json` gave.
        """
        kept: Future[R] = Future()
        if key in self._results:
            kept.set_result(decode(self._results[key]))
            return kept
        computing = submit()
        self._pending.add(computing)

        def keep(done: Future[R]) -> None:
            self._pending.discard(done)
            try:
                result = done.result()
                self._append(key, result.to_json())
            except CancelledError:
                kept.cancel()
            except BaseException as error:  # carried to whoever waits for this future
                kept.set_exception(error)
            else:
                kept.set_result(result)

        computing.add_done_callback(keep)
        return kept

    def _append(self, key: str, result: Any) -> None:
        line = json.dumps({"key": key, "result": result}, separators=(",", ":")) + "\n"
        with self._lock:
            if not self._file.closed:
                self._file.write(line.encode())
                self._file.flush()
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give up what has not started, and write nothing more."""
        for computing in list(self._pending):
            computing.cancel()
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _claim(directory: Path, identity: Mapping[str, Any]) -> str:
    """Say whose `directory` is, or check it; returns the token of the cell's first run."""
    path = directory / "cell.json"
    if path.exists():
        try:
            found = json.loads(path.read_text())
            token, theirs = found["token"], found["identity"]
        except (ValueError, KeyError) as error:
            raise CorruptDataError(
                f"{path} is damaged ({error}). Delete {directory} to start again."
            ) from error
        if names := differing(json.loads(json.dumps(identity)), theirs):
            raise ConfigurationError(
                f"{directory} holds a cell with another {', '.join(names)}. Repeat its settings to resume "
                f"it, or choose another folder."
            )
        return token
    token = secrets.token_hex(8)
    part = path.with_name(f".{path.name}.part")
    with part.open("w") as file:
        json.dump({"token": token, "identity": identity}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return token


def _lock(file: BinaryIO, directory: Path) -> None:
    """Two processes must not write one journal; the lock ends with the process, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigurationError(
            f"Another process is running the cell in {directory}. Wait for it, or choose another folder."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    whole, _, torn = raw.rpartition(b"\n")
    if torn or (raw and not whole):
        os.truncate(path, len(raw) - len(torn))
    results: dict[str, Any] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            results[entry["key"]] = entry["result"]
        except (ValueError, KeyError) as error:
            raise CorruptDataError(
                f"Line {number} of {path} is damaged ({error}). Delete {path.parent} to start again."
            ) from error
    return results
