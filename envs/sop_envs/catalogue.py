"""The groceries: 550 procedural products, each named by what can be seen of it.

A product is a combination of body colour, label pattern and shape: ``"green banded carton"``. All 10 x 11 x 5
combinations exist. A fifth of them (110) is held out for the ``"test"`` split by a Latin rule, so every word,
and every pair of words, also occurs among the 440 products of the ``"train"`` split: what is new in a test
product is only the combination.

Most patterns are rings around the body: they look the same from every side, so that no yaw of a product hides
its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from sop_bench.errors import unknown_name
from sop_bench.robot import Split

Rgb = tuple[float, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (0.80, 0.12, 0.13),
    "orange": (0.95, 0.48, 0.08),
    "yellow": (0.96, 0.80, 0.13),
    "green": (0.20, 0.56, 0.22),
    "teal": (0.05, 0.58, 0.60),
    "blue": (0.13, 0.29, 0.74),
    "purple": (0.46, 0.20, 0.62),
    "pink": (0.95, 0.50, 0.66),
    "brown": (0.42, 0.25, 0.13),
    "grey": (0.50, 0.53, 0.56),
}
SHAPES = ("box", "carton", "bottle", "jar", "can")
PATTERNS = (
    "plain",
    "banded",
    "tipped",
    "footed",
    "collared",
    "crossed",
    "ringed",
    "halved",
    "striped",
    "dotted",
    "lined",
)
RING_PATTERNS = PATTERNS[:7]
"""Patterns told apart from any side even at 3 mm a pixel; the others need a closer look."""

ROUND_SHAPES = frozenset({"bottle", "jar", "can"})

_LABELS: dict[str, Rgb] = {
    "white": (0.95, 0.95, 0.93),
    "black": (0.08, 0.08, 0.10),
    "lemon": (0.98, 0.93, 0.35),
    "sky": (0.55, 0.80, 0.96),
}
_TOO_ALIKE = {
    ("orange", "lemon"),
    ("yellow", "lemon"),
    ("yellow", "white"),
    ("teal", "sky"),
    ("blue", "black"),
    ("purple", "black"),
    ("brown", "black"),
    ("pink", "white"),
    ("grey", "sky"),
}
_HEIGHT_RANGE_M = {
    "box": (0.040, 0.048),
    "carton": (0.046, 0.054),
    "bottle": (0.048, 0.056),
    "jar": (0.037, 0.042),
    "can": (0.040, 0.047),
}
_WIDTH_RANGE_M = (0.028, 0.030)  # the open jaw leaves 22 mm on its fixed side for 29 mm
_MASS_RANGE_KG = (0.040, 0.080)
_FRICTION_RANGE = (0.5, 0.8)
_HELD_OUT_ONE_IN = 5


@dataclass(frozen=True, eq=False)  # one object per kind: identity is equality, and quick
class Product:
    """One kind of grocery. Lengths in metres; the upright product stands on z = 0 of its own frame.

    Attributes:
        index: Place in the catalogue, 0..549.
        colour, pattern, shape: The three words of its name.
        label_colour: Word for the second colour (not part of the name).
        width_m: Side of a square product, diameter of a round one.
        height_m: Full height of the body that collides, lid and neck included.
        friction: Sliding friction against table and board (pads bring their own).
        held_out: Belongs to the test split.
    """

    index: int
    colour: str
    pattern: str
    shape: str
    label_colour: str
    width_m: float
    height_m: float
    mass_kg: float
    friction: float
    held_out: bool

    @property
    def name(self) -> str:
        return f"{self.colour} {self.pattern} {self.shape}"

    @property
    def round(self) -> bool:
        """Looks and grips the same at any yaw (up to its label)."""
        return self.shape in ROUND_SHAPES

    @property
    def colour_rgb(self) -> Rgb:
        return COLOURS[self.colour]

    @property
    def label_rgb(self) -> Rgb:
        return _LABELS[self.label_colour]


def _make(index: int) -> Product:
    colour_index, rest = divmod(index, len(PATTERNS) * len(SHAPES))
    pattern_index, shape_index = divmod(rest, len(SHAPES))
    colour, pattern, shape = tuple(COLOURS)[colour_index], PATTERNS[pattern_index], SHAPES[shape_index]
    rng = np.random.default_rng([7001, index])  # a product's sizes never depend on the others
    allowed = [label for label in _LABELS if (colour, label) not in _TOO_ALIKE]
    return Product(
        index=index,
        colour=colour,
        pattern=pattern,
        shape=shape,
        label_colour=str(rng.choice(allowed)),
        width_m=float(rng.uniform(*_WIDTH_RANGE_M)),
        height_m=float(rng.uniform(*_HEIGHT_RANGE_M[shape])),
        mass_kg=float(rng.uniform(*_MASS_RANGE_KG)),
        friction=float(rng.uniform(*_FRICTION_RANGE)),
        held_out=(colour_index + 2 * shape_index + 3 * pattern_index) % _HELD_OUT_ONE_IN == 0,
    )


@cache
def all_products() -> tuple[Product, ...]:
    """The whole catalogue, in the order of `Product.index`."""
    return tuple(_make(i) for i in range(len(COLOURS) * len(PATTERNS) * len(SHAPES)))


@cache
def products_of(split: Split) -> tuple[Product, ...]:
    """The 440 products of ``"train"`` or the 110 held-out ones of ``"test"``."""
    return tuple(product for product in all_products() if product.held_out == (split == "test"))


@cache
def _by_name() -> dict[str, Product]:
    return {product.name: product for product in all_products()}


def product_named(name: str) -> Product:
    """The product called e.g. ``"green banded carton"``; raises `ConfigurationError` if there is none."""
    if name not in _by_name():
        raise unknown_name("product", name, _by_name())
    return _by_name()[name]
