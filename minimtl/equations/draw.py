"""Random numbers for the checks: sizes, and arrays of float64 that are multiples of 1/256, so that they can be read and repeated."""

from typing import TypeVar

import numpy as np

from minimtl.backend import Array

T = TypeVar("T")


class Draw:
    """A source of numbers, from a seed. Everything comes from `integers`, which another source may replace."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Array:
        """An array of integers from low to high, both included."""
        return self.rng.integers(low, high, shape, endpoint=True)

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return int(self.integers(low, high, (1,))[0])

    def size(self, least: int = 1, most: int = 3) -> int:
        """The length of an axis."""
        return self.integer(least, most)

    def of(self, *options: T) -> T:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def array(self, *shape: int, limit: float = 2.0) -> Array:
        """Numbers in [−limit, limit]."""
        return self.integers(-512, 512, shape) / 512 * limit

    def positive(self, *shape: int) -> Array:
        """Numbers in [¼, 2]."""
        return self.integers(64, 512, shape) / 256

    def shares(self, *shape: int) -> Array:
        """Numbers inside (0, 1)."""
        return self.integers(8, 248, shape) / 256

    def distributions(self, *shape: int) -> Array:
        """Positive numbers that add up to 1 along the last axis."""
        p = self.positive(*shape)
        return p / p.sum(axis=-1, keepdims=True)

    def distinct(self, *shape: int) -> Array:
        """Different numbers in [−2, 2], none of them 0, so that there is one largest and no kink."""
        n = int(np.prod(shape))
        order = np.argsort(self.integers(0, 2**16, (n,)), kind="stable")
        return ((order - n // 2 + 0.5) / n * 4).reshape(shape)

    def indices(self, n: int, *shape: int) -> Array:
        """Integers from 0 to n − 1."""
        return self.integers(0, n - 1, shape)

    def number(self, low: float, high: float) -> float:
        """A number from low to high."""
        return low + (high - low) * self.integer(0, 256) / 256
