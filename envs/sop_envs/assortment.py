"""Which products share a scene: enough likeness that every word of an instruction matters."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Split
from sop_envs.catalogue import COLOURS, PATTERNS, RING_PATTERNS, SHAPES, Product, all_products

LABEL_ONLY_SHARE = 0.05  # of scenes with a distractor that differs from the target in its label alone
"""0.2 in task version 1: there the camera's 12 pixels a product, not post-training, decided the end point. Of
the held-out targets that the encoder missed at the start of an episode, 10 of 12 stood beside such a twin."""


def draw_products(rng: np.random.Generator, split: Split, count: int) -> tuple[Product, ...]:
    """A target (first), one like it in colour, one like it in shape, and others.

    In a minority of scenes another one differs in its label alone, and both labels are rings. For ``"test"``
    the target is a held-out combination; for ``"train"`` no product of the scene is.
    """
    pool = all_products()
    colour, pattern, shape, held_out = _catalogue_columns()
    fresh = np.ones(len(pool), bool) if split == "test" else ~held_out  # not chosen yet, and allowed
    chosen: list[int] = []

    def choose(matches: NDArray[np.bool_]) -> int:
        options = np.flatnonzero(matches & fresh)
        chosen.append(int(options[rng.integers(len(options))]))
        fresh[chosen[-1]] = False
        return chosen[-1]

    twin = rng.random() < LABEL_ONLY_SHARE
    ring_like = pattern < len(RING_PATTERNS)
    target = choose((held_out == (split == "test")) & (ring_like | (not twin)))
    same_colour, same_shape = colour == colour[target], shape == shape[target]
    if twin:
        choose(same_colour & same_shape & ring_like)
    choose(same_colour & ~same_shape)
    choose(same_shape & ~same_colour)
    while len(chosen) < count:
        kinds = colour * len(SHAPES) + shape
        choose(~np.isin(kinds, kinds[chosen]))
    return tuple(pool[index] for index in chosen)


@cache
def _catalogue_columns() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Colour, pattern and shape of every product as numbers, and whether it is held out."""
    words = [
        (list(COLOURS).index(p.colour), PATTERNS.index(p.pattern), SHAPES.index(p.shape))
        for p in all_products()
    ]
    colour, pattern, shape = np.array(words).T
    return colour, pattern, shape, np.array([product.held_out for product in all_products()])
