"""Brightness, contrast and saturation."""

from collections.abc import Sequence

import numpy as np

from minimtl.backend import Array
from minimtl.data.augment.base import Augmentation, between, each, interval
from minimtl.equation import equation
from minimtl.random import Generator

GREY = (0.2989, 0.587, 0.114)  # of red, green and blue: torchvision's


def grey(x: Array) -> Array:
    """0.2989 red + 0.587 green + 0.114 blue; a grey picture is its own.      (N, C, H, W) → (N, 1, H, W), C = 1 or 3"""
    return x if x.shape[1] == 1 else sum(x[:, i : i + 1] * x.dtype.type(share) for i, share in enumerate(GREY))


def blend(x: Array, z: Array | float, a: Array) -> Array:
    """min(max(a x + (1 − a) z, 0), 1)"""
    a = each(a, x)
    return np.clip(a * x + (1 - a) * z, 0, 1)


@equation(
    "data.brightness",
    r"y_{n,c,h,w} = \min(\max(a_n x_{n,c,h,w}, 0), 1)",
    shapes="x (N, C, H, W), a (N) → y (N, C, H, W)",
    helpers=("blend",),
)
def brightness(x: Array, a: Array) -> Array:
    """y[n,c,h,w] = min(max(aₙ x[n,c,h,w], 0), 1)"""
    return blend(x, 0, a)


@equation(
    "data.contrast",
    r"y_{n,c,h,w} = \min(\max(a_n x_{n,c,h,w} + (1 - a_n) m_n, 0), 1), \quad"
    r" m_n = \frac{1}{H W} \sum_{i=1}^{H} \sum_{j=1}^{W} (0.2989 x_{n,1,i,j} + 0.587 x_{n,2,i,j} + 0.114 x_{n,3,i,j})",
    shapes="x (N, C, H, W), a (N) → y (N, C, H, W)",
    conventions="of grey pictures m is the mean",
    helpers=("blend", "grey"),
)
def contrast(x: Array, a: Array) -> Array:
    """y[n,c,h,w] = min(max(aₙ x[n,c,h,w] + (1 − aₙ) mₙ, 0), 1)

    where mₙ = 1/(H W) Σᵢ Σⱼ (0.2989 x[n,1,i,j] + 0.587 x[n,2,i,j] + 0.114 x[n,3,i,j])
    """
    return blend(x, grey(x).reshape(len(x), -1).mean(axis=1)[:, None, None, None], a)


@equation(
    "data.saturation",
    r"y_{n,c,h,w} = \min(\max(a_n x_{n,c,h,w} + (1 - a_n) g_{n,h,w}, 0), 1), \quad"
    r" g_{n,h,w} = 0.2989 x_{n,1,h,w} + 0.587 x_{n,2,h,w} + 0.114 x_{n,3,h,w}",
    shapes="x (N, C, H, W), a (N) → y (N, C, H, W)",
    conventions="a grey picture stays as it is",
    helpers=("blend", "grey"),
)
def saturation(x: Array, a: Array) -> Array:
    """y[n,c,h,w] = min(max(aₙ x[n,c,h,w] + (1 − aₙ) g[n,h,w], 0), 1)

    where g[n,h,w] = 0.2989 x[n,1,h,w] + 0.587 x[n,2,h,w] + 0.114 x[n,3,h,w]
    """
    return x if x.shape[1] == 1 else blend(x, grey(x), a)


class ColorJitter(Augmentation):
    """`brightness`, `contrast` and `saturation`, each by a factor of its own and in a random order.

    An amount v means factors from max(0, 1 − v) to 1 + v; or it is (low, high). Pictures must lie in [0, 1], so Normalize comes
    later; they are grey or colour, (…, 1 or 3, H, W). torchvision's hue is not there.
    """

    numbers = 6
    steps = (brightness, contrast, saturation)

    def __init__(
        self,
        brightness: float | Sequence[float] = 0.0,
        contrast: float | Sequence[float] = 0.0,
        saturation: float | Sequence[float] = 0.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.factors = {
            k: interval("ColorJitter", k, (max(0.0, 1.0 - v), 1.0 + v) if isinstance(v, (int, float)) and v >= 0 else v, 0)
            for k, v in given.items()
        }

    def check(self, x: Array) -> None:
        if x.shape[1] not in (1, 3):
            raise ValueError(f"ColorJitter: needs pictures (…, 1 or 3, H, W), got {x.shape}")
        if x.size and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(
                f"ColorJitter: needs pictures in [0, 1], got {x.min():.3g} to {x.max():.3g}; Normalize comes after it"
            )

    def changed(self, x: Array, u: Array) -> Array:
        order = np.argsort(u[:, 3:], axis=1)  # (N, 3): which step is taken first, second, third
        factors = np.stack([between(u[:, i], *pair) for i, pair in enumerate(self.factors.values())], axis=1)
        y = x.copy()
        for turn in order.T:
            for i, step in enumerate(self.steps):
                chosen = turn == i
                if chosen.any() and self.factors[step.__name__] != (1, 1):
                    y[chosen] = step(y[chosen], factors[chosen, i])
        return y
