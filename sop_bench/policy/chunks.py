"""Chunks of future actions, the regression targets of imitation, cut so that none crosses a hand-over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Frames, Source
from sop_bench.errors import ContractError


def chunk_targets(
    frames: Frames,
    steps: NDArray[np.integer],
    valid_steps: NDArray[np.integer],
    hold_after: NDArray[np.bool_],
    horizon: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The actions that follow each of K steps, and which of them may be imitated.

    They are what the demonstrator asked for, not what was executed: a gripper that is told to close is closed
    by the robot's limits over several steps, and a policy that imitates those closes later with every step.

    Args:
        frames: The episode.
        steps: (K,) indices into `frames`.
        valid_steps: (K,) how many actions from that step on may be imitated, at least 1.
        hold_after: (K,) whether the last valid action is repeated past the valid steps. Only right where the
            episode ended in success: repeated at a hand-back, it teaches the policy to stop there.
        horizon: H, actions in a chunk.

    Returns:
        Joint targets (K, H, A) in rad, and a mask (K, H) that is true where they may be imitated. Masked
        places repeat the last valid action, so that they are finite and in range.

    Raises:
        ContractError: A chunk would begin or end outside the episode.
    """
    steps, valid_steps = np.asarray(steps, np.int64), np.asarray(valid_steps, np.int64)
    if len(steps) and (steps.min() < 0 or valid_steps.min() < 1 or (steps + valid_steps).max() > len(frames)):
        raise ContractError(
            f"Chunks reach outside an episode of {len(frames)} steps: first step {steps.min()}, fewest valid "
            f"steps {valid_steps.min()}, furthest end {(steps + valid_steps).max()}; allowed: steps >= 0, at "
            f"least 1 valid step, end <= {len(frames)}. Correct the algorithm's selection."
        )
    ahead = np.arange(horizon)
    index = steps[:, None] + np.minimum(ahead, valid_steps[:, None] - 1)  # (K, H)
    valid = (ahead < valid_steps[:, None]) | np.asarray(hold_after, bool)[:, None]
    return frames.requested_rad[index], valid


def supervised_steps(
    frames: Frames, *, success: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Every step that an expert or a person controlled: what behaviour cloning imitates.

    Args:
        success: The episode ended in success, so its last action may be held.

    Returns:
        `steps`, `valid_steps` and `hold_after` (K,), as `chunk_targets` takes them: valid to the end of the
        segment.
    """
    steps = np.flatnonzero(frames.source != Source.POLICY).astype(np.int32)
    ends = frames.segment_end()[steps]
    return steps, ends - steps, (ends == len(frames)) & success
