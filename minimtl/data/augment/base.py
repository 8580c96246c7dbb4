"""What all augmentations of single pictures have in common: a row of uniform numbers for each picture."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.random import Generator, rng_of


class Augmentation:
    """yₙ = f(xₙ; uₙ), uₙ ~ U(0, 1)^k      `changed` is f of a batch, `numbers` is k."""

    random = True
    numbers = 1

    def __init__(self, generator: Generator | None = None) -> None:
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(f"{type(self).__name__}: generator must be a minimtl Generator, got {type(generator).__name__}")
        self.generator = generator

    def __call__(self, images: Tensor) -> Tensor:
        """One picture (C, H, W), or a batch (N, C, H, W)."""
        name, x = type(self).__name__, images.array if isinstance(images, Tensor) else np.asarray(images)
        if x.dtype.kind != "f" or x.ndim not in (3, 4):
            raise ValueError(
                f"{name}: needs floating-point pictures (C, H, W) or (N, C, H, W), got {x.dtype} {x.shape}; it stands after ToTensor"
            )
        batch = x if x.ndim == 4 else x[None]
        self.check(batch)
        u = rng_of(self.generator).random((len(batch), self.numbers))
        y = self.changed(batch, u)
        return Tensor(y if x.ndim == 4 else y[0])

    on_batch = __call__

    def check(self, x: Array) -> None:
        """An error, before anything is drawn, where these pictures cannot be changed."""

    def changed(self, x: Array, u: Array) -> Array:
        """y of pictures x (N, C, H, W) and numbers u (N, k) from 0 to 1."""
        raise NotImplementedError(f"{type(self).__name__} needs a method changed(self, x, u)")

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v}" for k, v in vars(self).items() if k != "generator")
        return f"{type(self).__name__}({shown})"


def each(values: Array, x: Array) -> Array:
    """A number for every picture (N), in the dtype of x, against (N, C, H, W)."""
    return values.astype(x.dtype)[:, None, None, None]


def between(u: Array, low: Array | float, high: Array | float) -> Array:
    """low + (high − low) u: from low to high, and just there where both are the same."""
    return np.asarray(low + (high - low) * u)


def probability(name: str, p: float) -> float:
    """p, from 0 to 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"{name}: p must be a number from 0 to 1, got {p!r}")
    return p


def interval(name: str, argument: str, value: Any, least: float = -math.inf, most: float = math.inf) -> tuple[float, float]:
    """(low, high), with least ≤ low ≤ high ≤ most."""
    pair = tuple(value) if isinstance(value, Sequence) else ()
    if len(pair) != 2 or not (least <= pair[0] <= pair[1] <= most) or not math.isfinite(pair[1] - pair[0]):
        raise ValueError(f"{name}: {argument} must be (low, high), {least} ≤ low ≤ high ≤ {most}, got {value!r}")
    return float(pair[0]), float(pair[1])
