"""What differs between the robots of a fleet: one frozen value, drawn from a named distribution."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from sop_envs.servo import ServoParameters

DISTRIBUTION = "desk-v1"
"""Name of the distribution below; change it whenever a number in `draw_station` changes."""


@dataclass(frozen=True)
class Station:
    """Parameters of one simulated station. Seed 0 is the nominal one.

    Attributes:
        camera_offset_m: Displacement of the front camera, (x, y, z).
        camera_tilt_rad: Rotation of the front camera about its (right, up, viewing) axes.
        camera_fovy_deg: Change of its vertical field of view.
        light_offset_m: Displacement of the lamp.
        light_gain: Factor on the brightness of the lamp.
        light_warmth: Red minus blue of the lamp, as a share.
        friction_gain: Factor on the friction of table, board and pads.
        table_height_m: Of the table top, in the frame of the arm bases.
        servo: The twelve servos.
    """

    seed: int = 0
    camera_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera_tilt_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera_fovy_deg: float = 0.0
    light_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    light_gain: float = 1.0
    light_warmth: float = 0.0
    friction_gain: float = 1.0
    table_height_m: float = 0.0
    servo: ServoParameters = field(default_factory=ServoParameters)

    def record(self) -> dict[str, float | int | str]:
        """Plain data for `RobotSpec.station`."""
        flat: dict[str, float | int | str] = {"station_seed": self.seed, "distribution": DISTRIBUTION}
        for name, value in asdict(self).items():
            if name == "seed":
                continue
            if isinstance(value, dict):
                flat.update({f"servo.{key}": entry for key, entry in value.items()})
            elif isinstance(value, tuple):
                flat.update({f"{name}.{axis}": entry for axis, entry in zip("xyz", value, strict=True)})
            else:
                flat[name] = value
        return flat


def draw_station(seed: int) -> Station:
    """The station with this seed; seed 0 is nominal, without any deviation."""
    if seed == 0:
        return Station()
    rng = np.random.default_rng([5101, seed])

    def three(scale: float) -> tuple[float, float, float]:
        x, y, z = (scale * rng.standard_normal(3)).tolist()
        return x, y, z

    nominal = ServoParameters()
    return Station(
        seed=seed,
        camera_offset_m=three(0.002),
        camera_tilt_rad=three(float(np.deg2rad(0.25))),
        camera_fovy_deg=float(0.2 * rng.standard_normal()),
        light_offset_m=three(0.10),
        light_gain=float(rng.uniform(0.85, 1.15)),
        light_warmth=float(rng.uniform(-0.05, 0.05)),
        friction_gain=float(rng.uniform(0.85, 1.15)),
        table_height_m=float(np.clip(0.0015 * rng.standard_normal(), -0.003, 0.003)),
        servo=ServoParameters(
            stiffness_nm_per_rad=float(nominal.stiffness_nm_per_rad * rng.uniform(0.9, 1.1)),
            joint_friction_nm=float(nominal.joint_friction_nm * rng.uniform(0.7, 1.3)),
            latency_s=0.004 * int(rng.integers(2, 8)),
        ),
    )
