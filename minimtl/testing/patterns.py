"""The usual mistakes, recognised by what they do to a gradient, so that a message can name a cause and not just a number."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from minimtl.backend import Array


@dataclass
class Evidence:
    """A gradient at one or more points, all arrays of one shape: (points, *shape of the argument) where there are several.

    x; the gradient given; the one measured, NaN where it is not known; which entries are wrong; the gradient given for a
    cotangent of zeros; and where the output has the shape of x, else NaN: ∂yᵢ/∂xᵢ, y, and the cotangent v. `lengths` are
    those of the axes over which a sum or a mean may have been taken.
    """

    x: Array
    given: Array
    measured: Array
    wrong: Array
    zero: Array
    diagonal: Array
    y: Array
    v: Array
    lengths: frozenset[int] = frozenset()

    @classmethod
    def stacked(cls, points: "list[Evidence]", lengths: set[int]) -> "Evidence":
        """The evidence of several points as one."""
        names = [part.name for part in fields(cls) if part.name != "lengths"]
        arrays = {name: np.stack([getattr(e, name) for e in points]) for name in names}
        return cls(**arrays, lengths=frozenset(lengths))

    def is_given(self, other: Array, tolerance: float = 1e-5) -> bool:
        """Whether the gradient given is `other`, wherever that is known."""
        return close(self.given, other, tolerance)

    def pointwise(self) -> bool:
        """Whether each output depends on its own entry of x alone."""
        return close(self.measured, self.v * self.diagonal, 1e-4)

    def permuted(self) -> bool:
        """Whether it has the numbers that were measured, in other places."""
        if not np.isfinite(self.measured).all() or self.is_given(self.measured):
            return False
        return all(
            np.allclose(np.sort(a, None), np.sort(b, None), rtol=1e-5) for a, b in zip(self.given, self.measured, strict=True)
        )


def close(a: Array, b: Array, tolerance: float) -> bool:
    """Whether a is b where both are known, to a part of the largest number; false where nothing is known."""
    known = np.isfinite(a) & np.isfinite(b)
    scale = float(np.abs(b[known]).max(initial=0.0))
    return bool(known.any() and (np.abs(a - b)[known] <= tolerance * scale).all())


def patterns(e: Evidence) -> Iterator[str]:
    """Sentences that fit the evidence, the most telling first."""
    yield from whole(e)
    yield from factor(e)
    yield from arrangement(e)
    yield from places(e)


def whole(e: Evidence) -> Iterator[str]:
    """Gradients that do not depend on what they should depend on, or are something else altogether."""
    if not e.given.any():
        yield "the gradient is 0 everywhere: the graph is cut (detach, no_grad, .array, .numpy), or the map returns zeros"
    elif np.isfinite(e.zero).all() and e.zero.any():
        yield "it is not 0 for an incoming gradient of 0: a map is linear in G, each of its terms has G as a factor"
    elif e.is_given(e.v * e.y):
        yield "the value instead of the derivative: yours is G f(x), not G f′(x)"
    elif (e.x != 0).all() and e.pointwise() and not e.is_given(e.measured) and e.is_given(e.v * e.y / e.x):
        yield "yours is G f(x)/x, as if f were x times a constant: the product rule has one more term"


def factor(e: Evidence) -> Iterator[str]:
    """One factor for all entries."""
    known = np.isfinite(e.measured)
    big = known & (np.abs(e.measured) > 1e-6 * np.abs(e.measured[known]).max(initial=0.0))
    if big.sum() < 2 or not e.given.any():
        return
    ratio = float(np.median(e.given[big] / e.measured[big]))
    if not np.isfinite(ratio) or abs(ratio) < 1e-12 or abs(ratio - 1) < 1e-9 or not e.is_given(ratio * e.measured):
        return
    if abs(ratio + 1) < 1e-5:
        yield "the sign: every entry is -1 times what it should be"
    else:
        yield f"a constant factor: every entry is {ratio:.9g} times what it should be{reason(ratio, e.lengths)}"


def reason(ratio: float, lengths: frozenset[int]) -> str:
    """Where such a factor comes from: a half or a double, a mean or a sum over some axes."""
    n = round(max(ratio, 1 / ratio))
    if n < 2 or abs(max(ratio, 1 / ratio) - n) > 1e-5 * n:
        return ""
    if n == 2:
        return ": a 2 too few or too many, or the ½ of a loss"
    if n not in lengths:
        return ""
    return f", {n}: a sum over {n} for their mean" if ratio > 1 else f", 1/{n}: a mean over {n} for their sum"


def arrangement(e: Evidence) -> Iterator[str]:
    """The right numbers in the wrong order, or a part of the derivative only."""
    if e.x.ndim > 2 and e.x.shape[-1] == e.x.shape[-2] > 1 and e.is_given(e.measured.swapaxes(-1, -2)):
        yield "transposed: the right gradient with its last two axes exchanged"
    elif e.permuted():
        yield "the right numbers in other places: an index or a permutation undone the wrong way"
    if not e.pointwise() and e.is_given(e.v * e.diagonal, 1e-4):
        yield "only the diagonal: it takes yᵢ to depend on xᵢ alone, but every yᵢ depends on other entries too (softmax, a mean)"


def places(e: Evidence) -> Iterator[str]:
    """Where the wrong entries are."""
    right = ~e.wrong & np.isfinite(e.measured)
    if not e.wrong.any() or not right.any():
        return
    for sign, side in (("<", e.x < 0), (">", e.x > 0)):
        if not (e.wrong & ~side).any() and not (right & side).any():
            cause = "a mask is missing" if not e.measured[e.wrong].any() else "a mask, or a case distinction"
            yield f"wrong only where x {sign} 0: {cause}"
            return
    if not e.measured[e.wrong].any():
        yield "a mask is missing: it is wrong exactly where the value does not depend on x at all"
    elif not e.given[e.wrong].any():
        yield zero_rows(e) or "0 where it is wrong: a mask too many"
    elif e.wrong.any(axis=0).sum() == 1 and e.x[0].size > 1:
        yield "a single entry is wrong, the others are right"


def zero_rows(e: Evidence) -> str:
    """Which rows of an array of two axes or more get no gradient though they should."""
    rows = [i for i in range(len(e.x[0])) if e.wrong[0, i].any() and not e.given[0, i].any()] if e.x.ndim > 2 else []
    return f"zero rows: no gradient for row {', '.join(map(str, rows[:6]))}" if rows else ""
