"""Rectangles cut out."""

import math
from collections.abc import Sequence

import numpy as np

from minimtl.backend import Array
from minimtl.data.augment.base import Augmentation, between, interval, probability
from minimtl.equation import equation
from minimtl.random import Generator


@equation(
    "data.erase",
    r"y_{n,c,h,w} = x_{n,c,h,w} + (v - x_{n,c,h,w}) [t_n \le h < t_n + a_n \land l_n \le w < l_n + b_n]",
    symbols={"t": "top", "l": "left", "a": "height", "b": "width", "v": "value"},
    shapes="x (N, C, H, W), t (N), l (N), a (N), b (N) → y (N, C, H, W)",
    conventions="a × b pixels of each picture; none where a or b is 0",
    base=0,
)
def erase(x: Array, top: Array, left: Array, height: Array, width: Array, value: float = 0.0) -> Array:
    """y[n,c,h,w] = x[n,c,h,w] + (v − x[n,c,h,w]) [tₙ ≤ h < tₙ + aₙ and lₙ ≤ w < lₙ + bₙ]"""
    h, w = np.arange(x.shape[2]), np.arange(x.shape[3])
    rows = (top[:, None] <= h) & (h < (top + height)[:, None])  # (N, H)
    columns = (left[:, None] <= w) & (w < (left + width)[:, None])  # (N, W)
    return np.where((rows[:, :, None] & columns[:, None])[:, None], x.dtype.type(value), x)


class RandomErasing(Augmentation):
    """A rectangle of one `value` with probability p: see `erase`.      its share of the area from `scale`, h/w from `ratio`

    As torchvision's: where ten rectangles in a row do not fit the picture stays whole. `value` is one number, no noise.
    `RandomErasing(1, (0.25, 0.25), (1, 1))` is cut-out by a square of a quarter of the area that always lies inside.
    """

    TRIES = 10
    numbers = 1 + 2 * TRIES + 2

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float = 0.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        self.p = probability("RandomErasing", p)
        self.scale = interval("RandomErasing", "scale", scale, 0, 1)
        self.ratio = interval("RandomErasing", "ratio", ratio, 1e-3, 1e3)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"RandomErasing: value must be a number, got {value!r}")
        self.value = value

    def changed(self, x: Array, u: Array) -> Array:
        H, W = x.shape[2:]
        area = H * W * between(u[:, 1 : 1 + self.TRIES], *self.scale)  # (N, TRIES)
        ratio = np.exp(between(u[:, 1 + self.TRIES : -2], *map(math.log, self.ratio)))
        heights, widths = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (heights < H) & (widths < W)
        first = np.arange(len(x)), fits.argmax(axis=1)
        chosen = fits[first] & (u[:, 0] < self.p)
        height, width = ((sides[first] * chosen).astype(np.int64) for sides in (heights, widths))
        top, left = (u[:, -2] * (H - height + 1)).astype(np.int64), (u[:, -1] * (W - width + 1)).astype(np.int64)
        return erase(x, top, left, height, width, self.value)
