"""A point at which gradients are checked: its values and gradients, and slopes along directions from it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Self

import numpy as np

from minimtl.backend import Array
from minimtl.testing.differences import EPS, STEPS, Judged, Levels, Moved, judge, sizes, typical
from minimtl.testing.pull import Gradients, pull
from minimtl.testing.subject import Subject

Index = tuple[int, ...]
STILL = Moved(0.0, 0.0)
OUTSIDE = Moved(np.nan, np.nan)


@dataclass(frozen=True)
class Point:
    """Values y and gradients vᵀ ∂y/∂x by output, at the arrays of the subject."""

    subject: Subject
    vs: dict[str, Array]
    values: dict[str, Array]
    gradients: Gradients

    @classmethod
    def of(cls, subject: Subject, vs: dict[str, Array]) -> Self:
        """The point at the arrays of the subject."""
        return cls(subject, vs, *pull(subject, subject.leaves(), vs))

    def along(self, k: int, u: Any, rtol: float, atol: float, at: Any = ...) -> dict[str, Judged]:
        """For each output y: (vᵀ ∂y/∂x) u by the gradient, against d/dt vᵀ y(x + t u) by differences; x: leaf k, or x[at]."""
        x = self.subject.arrays[k]

        @cache
        def moved(t: float) -> dict[str, Moved]:
            arrays = list(self.subject.arrays)
            arrays[k] = x.copy()
            arrays[k][at] += t * u
            try:
                outputs = self.subject.outputs(self.subject.leaves(arrays))
            except Exception:  # outside the domain
                return dict.fromkeys(self.vs, OUTSIDE)
            return {
                name: move(v, self.values[name], outputs[name].array if name in outputs else None)
                for name, v in self.vs.items()
            }

        def φ(name: str, t: float) -> Moved:
            return moved(t)[name]

        found = {}
        for name in self.vs:
            g = self.gradients[name][k][at]
            terms, start = np.asarray(g * u), np.where(u == 0, 0.0, np.abs(g * x[at]))
            levels = self.levels(name, k, EPS * float(np.sum(start[np.isfinite(start)])))
            claimed, size = float(np.sum(terms)), typical(terms) * float(np.sqrt(np.size(terms)))
            ask = partial(judge, partial(φ, name), claimed, size, levels, rtol=rtol, atol=atol)
            found[name] = self.second_opinion(x, u, at, ask(STEPS), ask)
        return found

    def second_opinion(self, x: Array, u: Any, at: Any, first: Judged, ask: Callable[..., Judged]) -> Judged:
        """Of a small entry among large ones, which steps of its own size may leave unmoved, also by steps of theirs."""
        if at is ... or first.verdict == "agrees" or abs(u) > 1e-2 * typical(x):
            return first
        second = ask([h * typical(x) / abs(u) for h in STEPS[:4]])
        return second if second.verdict == "agrees" and not second.negligible else first

    def levels(self, name: str, k: int, rounding: float) -> Levels:
        """What is too small to tell of an output along leaf k; `rounding` is that of x."""
        v, y = np.abs(self.vs[name]), np.abs(self.values[name])
        finite = np.isfinite(y)
        ordinary, terms = (float(np.sum(v * part, where=finite)) for part in (np.minimum(y, 1.0), y))
        slopes = np.abs(self.gradients[name][k]) * sizes(self.subject.arrays[k])
        largest = float(slopes[np.isfinite(slopes)].max(initial=0.0))
        # outputs that do not move may have been rounded to where they were
        return Levels(rounding + 2 * EPS * ordinary, float(np.sum(v)), ordinary, terms, largest)

    def at(self, k: int, index: Index, rtol: float, atol: float) -> dict[str, Judged]:
        """For each output, the gradient of one entry of leaf k against differences."""
        return self.along(k, float(sizes(self.subject.arrays[k])[index]), rtol, atol, index)


def move(v: Array, before: Array, after: Array | None) -> Moved:
    """Σ v (y − y₀) and what it is rounded against; no numbers where the outputs are others."""
    if after is None or after.shape != before.shape:
        return OUTSIDE
    moved = before != after  # NaN always
    if not moved.any():
        return STILL
    y, y0, v = after[moved], before[moved], v[moved]
    return Moved(float(np.sum(v * (y - y0))), float(np.sum(np.abs(v) * np.maximum(np.abs(y), np.abs(y0)))))
