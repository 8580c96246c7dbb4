"""Derivatives measured by central differences, each with a bound on how far it may be off.

    D(h) = (φ(h) − φ(−h)) / 2h = φ′(0) + h²/6 φ‴(0) + …        slope = (4 D(h/2) − D(h)) / 3 = φ′(0) + O(h⁴)
    S(h) = (φ(h) − 2 φ(0) + φ(−h)) / h = h φ″(0) + …           jump  = 2 S(h/2) − S(h)       = 0 + O(h³)

Two steps are joined so that the error of order h² cancels (Richardson); how much they disagree bounds what is left. At a
kink D(h) and D(h/2) may agree on the mean of both slopes; S, the right-hand slope less the left-hand one, then stays as large
at h/2 as at h, and `jump` is that difference. A point near a kink is measured at smaller steps, which no longer cross it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minimtl.backend import Array

STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)  # as parts of the size of what is moved
ZEROS = 1e-6  # the least step at which a slope that is lost in rounding counts as measured to be 0
GOOD, FAIR = (
    1e-6,
    1e-4,
)  # errors, as parts of the slope: below the first a step will do, above the second none has told anything
ROUNDING = 20 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Measured:
    """φ′(0), the bound on its error, the greatest slope seen, and the step; `fair` says whether the bound tells anything."""

    slope: float
    error: float
    scale: float
    step: float
    fair: bool

    def agrees(self, claimed: float, rtol: float) -> bool:
        """Whether the claim is the slope, to the error of measuring and a part rtol of the largest number involved."""
        return abs(claimed - self.slope) <= self.error + rtol * self.scale


def measure(φ: Callable[[float], float], size: float, claimed: float, noise: Callable[[], float]) -> Measured:
    """φ′(0), at the first step that is good, or else at the best one.

    `size` is how large the terms are whose rounding makes up that of φ, and `noise()`, asked for if no step is fair, how large
    that of cancelling terms is. `claimed` is how large the slope is said to be (of a sum, how large its terms are): errors
    count relative to this, or to what is measured if that is larger.
    """
    centre, scale, rounding = φ(0.0), abs(claimed), ROUNDING * size
    tried = []
    for step in STEPS:
        found = once(φ, centre, step, rounding, scale)
        scale = max(scale, found.scale)
        tried.append(found)
        if found.fair and found.error <= max(GOOD * found.scale, 2 * rounding / step):
            return found
    best = min(tried, key=lambda found: found.error)
    return best if best.fair else once(φ, centre, best.step, rounding + noise(), scale)


def once(φ: Callable[[float], float], centre: float, step: float, noise: float, scale: float) -> Measured:
    """The slope with one pair of steps, where φ is rounded by about `noise`."""
    (above, below), (near_above, near_below) = ((φ(h), φ(-h)) for h in (step, step / 2))
    coarse, fine = (above - below) / (2 * step), (near_above - near_below) / step
    jump = 4 * (near_above - 2 * centre + near_below) / step - (above - 2 * centre + below) / step
    error = abs(fine - coarse) + abs(jump) + noise / step
    if not np.isfinite(error):
        return Measured(np.nan, np.inf, scale, step, False)
    scale = max(scale, abs(above - centre) / step, abs(below - centre) / step)
    lost = 2 * noise / step if step >= ZEROS else 0.0
    return Measured((4 * fine - coarse) / 3, error, scale, step, error <= max(FAIR * scale, lost))


def scatter(φ: Callable[[float], float]) -> float:
    """How much φ is rounded, seen in its fourth differences over steps so small that nothing else is left in them.

    Where large terms cancel, as in the sum of a softmax, this is far more than the last digit of φ.
    """
    values = [φ(i * 1e-9) for i in range(-4, 5)]
    found = 20 * float(np.abs(np.diff(values, 4)).max())
    return found if np.isfinite(found) else 0.0


def sizes(x: Array) -> Array:
    """How far a step of 1 moves each entry of x: its magnitude, or a hundredth of the typical one; 1 where all are 0."""
    typical = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    return np.maximum(np.abs(x), 0.01 * typical) if typical else np.ones_like(x)
