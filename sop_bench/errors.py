"""The exceptions of sop-bench: one base, and a child for each thing a caller would do next.

Messages have four parts: what went wrong, what was given, what is allowed, what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SopBenchError(Exception):
    """Base of every error that sop-bench raises on purpose."""


class ConfigurationError(SopBenchError):
    """A name, flag or file given by the user cannot be used: correct it and run again."""


class ContractError(SopBenchError):
    """A robot, policy or supervisor broke the contract of its interface: fix that component."""


class CorruptDataError(SopBenchError):
    """A file on disk is incomplete or damaged: delete it or restore it from a copy."""


class RobotFaultError(SopBenchError):
    """The robot could not execute (lost link, diverged physics): mark the episode and start another."""


def unknown_name(kind: str, got: str, allowed: Iterable[str], hint: str = "") -> ConfigurationError:
    """A `ConfigurationError` that names the closest allowed choice, e.g. ``unknown_name("task", ...)``."""
    choices = sorted(allowed)
    close = difflib.get_close_matches(got, choices, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(choices) or "none are installed"
    return ConfigurationError(
        f"Unknown {kind} {got!r}.{guess} Allowed: {listed}.{' ' + hint if hint else ''}"
    )
