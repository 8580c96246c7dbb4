"""Derivatives measured by central differences, each with a bound on how far it may be off, and the verdict on a claim.

    D(h) = (φ(h) − φ(−h)) / 2h = φ′ + h²/6 φ‴ + …        slope = (4 D(h/2) − D(h)) / 3 = φ′ + O(h⁴)
    S(h) = (φ(h) + φ(−h)) / h  = h φ″ + …                jump  = 2 S(h/2) − S(h)       = 0 + O(h³)

where φ(0) = 0. Two steps are joined so that the error of order h² cancels (Richardson); how much they disagree bounds what is
left. At a kink D(h) and D(h/2) may agree on the mean of both slopes; S, the right-hand slope less the left-hand one, then stays
as large at h/2 as at h, and `jump` is that difference. A point near a kink is measured at smaller steps, which do not cross it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from minimtl.backend import Array

Verdict = Literal["agrees", "differs", "inconclusive"]

STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)  # as parts of what is moved
GOOD, FAIR = 1e-6, 1e-4  # errors, as parts of the slope: below the first a step will do, above the second it has told nothing
EPS = float(np.finfo(np.float64).eps)
LOST = 100 * EPS  # of ordinary terms: slopes below it are made of rounding
WOBBLE = 1e-10  # of the weights: changes of φ that may come from terms that cancel inside of f
WIDE = 100  # times the first step: how far a constant is constant


class Moved(NamedTuple):
    """Σ v (y − y₀), and Σ |v| |y| over the outputs y that have moved from y₀: what the rounding of the first is a part of."""

    value: float
    size: float


Φ = Callable[[float], Moved]


@dataclass(frozen=True)
class Slope:
    """φ′(0) by one pair of steps, a bound on its error, the steepest secant, how φ is rounded; whether nothing moved, or only to
    one side."""

    value: float
    error: float
    steepest: float
    noise: float
    step: float
    flat: bool
    one_sided: bool


@dataclass(frozen=True)
class Judged:
    """What a gradient claims of a slope, what was measured, how large the numbers involved are, and the verdict.

    Negligible is what is too small to be told from rounding, as the derivative of a saturated tanh: it is passed over.
    """

    claimed: float
    measured: Slope
    scale: float
    verdict: Verdict
    negligible: bool = False

    @property
    def relative(self) -> float:
        """How far apart they are, as a part of the largest number involved."""
        return 0.0 if self.negligible or not self.scale else abs(self.claimed - self.measured.value) / self.scale


class Levels(NamedTuple):
    """What is too small to tell, of Σ v y: how x + h and y are rounded, as changes of φ; the weights Σ |v|; the ordinary terms
    Σ |v| min(|y|, 1), for a mask of -1e9 among the outputs is not ordinary; all terms Σ |v y|; the largest slope along x."""

    rounding: float
    weights: float
    ordinary: float
    terms: float
    largest: float


def once(φ: Φ, step: float, rounding: float = 0.0) -> Slope:
    """The slope by the steps h and h/2. `rounding` is what x + h itself is rounded by, as a change of φ."""
    far, near = (φ(step), φ(-step)), (φ(step / 2), φ(-step / 2))
    coarse, fine = (far[0].value - far[1].value) / (2 * step), (near[0].value - near[1].value) / step
    jump = 4 * (near[0].value + near[1].value) / step - (far[0].value + far[1].value) / step
    noise = 8 * EPS * max(moved.size for moved in far + near) + rounding
    error = abs(fine - coarse) + abs(jump) + noise / step
    if not np.isfinite(error):
        return Slope(np.nan, np.inf, 0.0, noise, step, False, False)
    steepest = max(abs(moved.value) for moved in far) / step
    return Slope(
        (4 * fine - coarse) / 3,
        error,
        steepest,
        noise,
        step,
        not any(moved.value for moved in far + near),
        not all(moved.value for moved in far),
    )


def scatter(φ: Φ, step: float) -> float:
    """How φ is rounded, seen in its fourth differences, in which nothing else is left; inside f far larger terms may cancel."""
    found = 2 * float(np.abs(np.diff([φ(i * step / 4).value for i in range(-4, 5)], 4)).max())
    return found if np.isfinite(found) else np.inf


def judge(φ: Φ, claimed: float, terms: float, levels: Levels, steps: Sequence[float], rtol: float, atol: float) -> Judged:
    """Is φ′(0) what is claimed, to the error of measuring and a part rtol of the larger of the slope and its `terms`?"""
    tried, fair, steepest = [], [], 0.0
    for step in steps:
        found = once(φ, step, levels.rounding)
        steepest = max(steepest, found.steepest)  # so far: smaller steps show steps of rounding
        tried.append(found)
        if found.error <= FAIR * steepest and not found.flat:
            fair.append(found)
        if found.error <= min(GOOD, rtol) * steepest or (found.flat and not steepest):
            break
    first = tried[0]
    if first.flat and not steepest:
        return unmoved(φ, claimed, first, levels)
    beside = [found for found in tried if found.flat and steepest * found.step > 10 * LOST * levels.terms]
    if not fair and beside and all(found.one_sided for found in tried):  # a kink that smaller steps do not reach
        return unmoved(φ, claimed, beside[0], levels)
    if not fair:
        return unmeasured(φ, claimed, tried, levels)
    best = min(fair, key=lambda found: found.error)
    scale = max(terms if np.isfinite(terms) else 0.0, abs(best.value))
    apart, allowed = abs(claimed - best.value), best.error + rtol * scale
    if apart <= allowed:
        return Judged(claimed, best, scale, "agrees")
    if max(abs(claimed), abs(best.value)) <= LOST * levels.ordinary:
        return Judged(claimed, best, scale, "agrees", negligible=True)
    sure = not apart <= max(atol, allowed + scatter(φ, best.step) / best.step) and confirmed(φ, best, apart, levels.rounding)
    return Judged(claimed, best, scale, "differs" if sure else "inconclusive")


def unmoved(φ: Φ, claimed: float, first: Slope, levels: Levels) -> Judged:
    """The verdict where no output moves: the slope is 0, unless it was rounded away."""
    flat = Slope(0.0, 0.0, 0.0, first.noise, first.step, True, True)
    if not claimed:
        return Judged(claimed, flat, 0.0, "agrees")
    if abs(claimed) <= max(LOST * levels.weights, 100 * wobble(φ, first.step, levels)):
        return Judged(claimed, flat, abs(claimed), "agrees", negligible=True)
    absorbed = abs(claimed) * first.step <= 10 * EPS * levels.terms
    return Judged(claimed, flat, abs(claimed), "inconclusive" if absorbed else "differs")


def unmeasured(φ: Φ, claimed: float, tried: Sequence[Slope], levels: Levels) -> Judged:
    """The verdict where no step is fair: nothing, or that it is negligible, as is also what is constant but for rounding.

    Outputs may add up to a constant, as those of a softmax: then φ does not move over a wide range.
    """
    first, best = tried[0], min((s for s in tried if not s.flat), key=lambda s: s.error, default=tried[0])
    noise = first.noise + wobble(φ, first.step, levels)
    moves = [abs(φ(sign * width * first.step).value) for sign in (1, -1) for width in (1, WIDE)]
    constant = abs(claimed) <= max(LOST * levels.weights, 100 * noise) and not max(moves) > 2 * noise
    little = GOOD * max(levels.weights, levels.largest)
    lost = abs(claimed - best.value) <= best.error <= little and abs(claimed) <= little
    if constant or (lost and not best.flat):
        return Judged(claimed, best, abs(claimed), "agrees", negligible=True)
    return Judged(claimed, best, max(abs(claimed), abs(best.value)), "inconclusive")


def confirmed(φ: Φ, best: Slope, apart: float, rounding: float) -> bool:
    """Whether other steps measure the same. They are no multiples of each other, as those of rounding are."""
    for part in (0.73, 0.37, 0.19):
        other = once(φ, part * best.step, rounding)
        moved = abs(other.value - best.value)
        if other.flat != best.flat or other.error > apart / 2 or moved > apart / 4:
            return False
        if moved > 0.01 * max(abs(best.value), abs(other.value)) + best.error + other.error:
            return False
    return True


def wobble(φ: Φ, step: float, levels: Levels) -> float:
    """How φ is rounded, near and further off, where that is so little that it is rounding."""
    return sum(found for found in (scatter(φ, step), scatter(φ, WIDE * step)) if found <= WOBBLE * levels.weights)


def sizes(x: Array) -> Array:
    """How far a step of 1 moves each entry: its magnitude; for a 0 the median of the others, and 1 where all are 0."""
    others = np.abs(x[x != 0])
    return np.where(x == 0, np.median(others) if others.size else 1.0, np.abs(x))


def typical(x: Array) -> float:
    """The root of the mean square of the entries, which may overflow where this does not; 0 of none."""
    largest = float(np.abs(x).max(initial=0.0))
    return largest * float(np.sqrt(np.mean((x / largest) ** 2))) if 0 < largest < np.inf else largest


def signed(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers of either sign that are about 1 in size: none hides an entry."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))
