"""Means of few runs: intervals by Student's t, and differences in pairs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation


class Interval(NamedTuple):
    """mean ± half"""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of independent runs, and half of its confidence interval by Student's t."""
    x = numbers("interval", values)
    if not 0 < confidence < 1:
        raise ValueError(f"interval: confidence must lie between 0 and 1, got {confidence}")
    return Interval(float(x.mean()), half_width(x, quantile((1 + confidence) / 2, len(x) - 1)))


@equation(
    "mtl.interval",
    r"h = t \sqrt{\frac{\sum_{i=1}^{n} (x_i - \bar x)^2}{n (n - 1)}}, \quad \bar x = \frac{1}{n} \sum_{i=1}^{n} x_i",
    shapes="x (n) → h ()",
    source="Student 1908",
    conventions="t is the quantile (1 + confidence)/2 of Student's distribution with n − 1 degrees of freedom",
)
def half_width(x: Array, t: float) -> float:
    """h = t √(Σᵢ (xᵢ − x̄)² / (n (n − 1)));  x̄ = 1/n Σᵢ xᵢ"""
    return float(t * x.std(ddof=1) / math.sqrt(len(x)))


def paired(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of a − b over seeds that both share, and half of its interval: what the seeds have in common falls out."""
    x, y = numbers("paired", a), numbers("paired", b)
    if len(x) != len(y):
        raise ValueError(f"paired: needs values of the same seeds, got {len(x)} and {len(y)}")
    return interval((x - y).tolist(), confidence)


def numbers(name: str, values: Sequence[float]) -> Array:
    """At least two finite numbers."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f"{name}: needs at least two finite values, one for each seed, got {values}")
    return x


def quantile(p: float, ν: int) -> float:
    """t with P(T ≤ t) = p, ½ ≤ p < 1, of Student's distribution with ν degrees of freedom: the CDF inverted by bisection."""
    low, high = 0.0, 1.0
    while cumulative(high, ν) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if cumulative(middle, ν) < p else (low, middle)
    return (low + high) / 2


def cumulative(t: float, ν: int) -> float:
    """P(T ≤ t), t ≥ 0, by the finite sums for whole ν: with θ = arctan t/√ν of ½ + (θ + sin θ (cos θ + ⅔ cos³ θ + …))/π for odd ν
    and ½ + ½ sin θ (1 + ½ cos² θ + …) for even; Abramowitz, Stegun 26.7.3, 26.7.4."""
    θ = math.atan(t / math.sqrt(ν))
    c, term, total = math.cos(θ), 1.0, 0.0
    if ν % 2:
        term = c
        for k in range(1, ν - 1, 2):
            total += term
            term *= c * c * (k + 1) / (k + 2)
        return 0.5 + (θ + math.sin(θ) * total) / math.pi
    for k in range(0, ν - 1, 2):
        total += term
        term *= c * c * (k + 1) / (k + 2)
    return 0.5 + 0.5 * math.sin(θ) * total
