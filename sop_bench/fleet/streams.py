"""Named random streams: what is random in one part of a fleet never depends on what another part drew."""

from __future__ import annotations

import hashlib

import numpy as np

_FIRST_SCENE = 10**9  # demonstrations and evaluations number their scenes from below


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """The generator of the stream called `key`, e.g. ``stream(0, "upload", robot, episode)``."""
    words = hashlib.sha256(repr(key).encode()).digest()[:16]
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=tuple(np.frombuffer(words, "<u4").tolist()))
    )


def scene_seed(seed: int, robot: int, episode: int) -> int:
    """The scene of a robot's n-th online episode; disjoint from those of demonstrations and evaluations."""
    return int(stream(seed, "scene", robot, episode).integers(_FIRST_SCENE, 2**31))
