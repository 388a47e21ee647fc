"""What a policy takes of observations: checked against what it was trained with, and stacked into tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sop_bench.errors import ConfigurationError, ContractError
from sop_bench.policy.config import PolicyConfig
from sop_bench.robot import CameraSpec, Observation


def check_fits(config: PolicyConfig, cameras: Sequence[CameraSpec], joint_names: Sequence[str]) -> None:
    """Refuse, before anything moves, a robot that the policy was not made for.

    Raises:
        ConfigurationError: A camera is missing or of another size, or the joints have other names.
    """
    offered = {camera.name: camera for camera in cameras}
    wrong = [camera for camera in config.cameras if offered.get(camera.name) != camera]
    if wrong or tuple(joint_names) != config.joint_names:
        raise ConfigurationError(
            f"The policy does not fit this robot: it offers cameras {list(offered.values())} and joints "
            f"{list(joint_names)}; allowed: cameras {list(config.cameras)} and joints "
            f"{list(config.joint_names)}. Choose another checkpoint, or pretrain one for this robot."
        )


def checked_image(
    images: Mapping[str, NDArray[np.uint8]], camera: CameraSpec, *, batched: bool = False
) -> NDArray[np.uint8]:
    """The image of `camera`, (h, w, 3) uint8, or with `batched` (N, h, w, 3).

    Raises:
        ContractError: It is missing, or of another size or type.
    """
    if camera.name not in images:
        raise ContractError(
            f"The observation has no {camera.name!r} image, only {', '.join(images) or 'none'}; allowed: all "
            f"cameras the policy was trained with. Use a robot that has this camera, or another checkpoint."
        )
    image = images[camera.name]
    shape = image.shape[1:] if batched else image.shape
    expected = (camera.height, camera.width, 3)
    if shape != expected or image.dtype != np.uint8:
        raise ContractError(
            f"Image {camera.name!r} is {image.dtype} of shape {shape}; allowed: uint8 {expected}, as in "
            f"training. Set the robot's camera to that size, or pretrain for this one."
        )
    return image


def stacked_images(
    observations: Sequence[Observation], camera: CameraSpec, rows: int, looked_at: bool
) -> Tensor:
    """The images of `camera`, (rows, h, w, 3) uint8; zeros if nobody looks, since a picture costs rendering.

    Raises:
        ContractError: As `checked_image`.
    """
    if not looked_at:
        return torch.zeros(rows, camera.height, camera.width, 3, dtype=torch.uint8)
    return _stacked([checked_image(seen.images, camera) for seen in observations], rows)


def stacked_vectors(
    observations: Sequence[Observation],
    what: Literal["proprioception", "commanded_rad"],
    config: PolicyConfig,
    rows: int,
) -> Tensor:
    """That vector of each observation, (rows, d) float32.

    Raises:
        ContractError: It has another length than the policy's.
    """
    length = config.state_dim if what == "proprioception" else config.action_dim
    vectors = [np.asarray(getattr(seen, what), np.float32) for seen in observations]
    for vector in vectors:
        if vector.shape != (length,):
            raise ContractError(
                f"Observation.{what} has shape {vector.shape}; allowed: ({length},), as the policy was "
                f"trained with {', '.join(config.joint_names)}. Use a policy pretrained for this robot."
            )
    return _stacked(vectors, rows)


def _stacked(values: list[NDArray], rows: int) -> Tensor:
    """`values` as the rows of a tensor, the last of them repeated to fill it."""
    return torch.from_numpy(np.stack([*values, *values[-1:] * (rows - len(values))]))
