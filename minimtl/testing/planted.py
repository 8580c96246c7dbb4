"""Operations with right and with wrong maps: what a gradient check must let pass, and what it must catch.

An operation here is a recipe: a function of arrays that returns (value, map, …), not yet `differentiable`, so that a wrong map
can be put in the place of a right one, and so that checks of other libraries can be tried on the same mistakes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np

from minimtl.autograd import differentiable
from minimtl.backend import Array
from minimtl.kernels.shared import Map, unbroadcast
from minimtl.testing.check import Check
from minimtl.testing.differences import signed
from minimtl.testing.pull import same
from minimtl.testing.subject import of_function

Recipe = Callable[..., tuple[Any, ...]]
Rng = np.random.Generator
Checker = Callable[[Recipe, list[Array], int], bool]  # the recipe, its arguments and a seed → whether the check finds fault

# Operations


def sine(x: Array) -> tuple[Any, ...]:
    return np.sin(x), lambda G: G * np.cos(x)


def relu(x: Array) -> tuple[Any, ...]:
    return np.maximum(x, 0), lambda G: G * (x > 0)


def product(a: Array, b: Array) -> tuple[Any, ...]:
    return a * b, lambda G: G * b, lambda G: G * a


def add(a: Array, b: Array) -> tuple[Any, ...]:
    return a + b, lambda G: unbroadcast(G, a.shape), lambda G: unbroadcast(G, b.shape)


def matmul(A: Array, B: Array) -> tuple[Any, ...]:
    return A @ B, lambda G: G @ B.T, lambda G: A.T @ G


def mean(x: Array) -> tuple[Any, ...]:
    return x.sum(0) / len(x), lambda G: np.broadcast_to(G / len(x), x.shape)


def softmax(x: Array) -> tuple[Any, ...]:
    y = np.exp(x - x.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    return y, lambda G: y * (G - (G * y).sum(-1, keepdims=True))


def standardise(x: Array) -> tuple[Any, ...]:
    inverse = 1 / np.sqrt(x.var(0) + 0.1)
    y = (x - x.mean(0)) * inverse
    return y, lambda G: (G - G.mean(0) - y * (G * y).mean(0)) * inverse


def cumsum(x: Array) -> tuple[Any, ...]:
    return x.cumsum(0), lambda G: G[::-1].cumsum(0)[::-1]


def maximum(x: Array) -> tuple[Any, ...]:
    first = np.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1)) == x.argmax(0)
    return x.max(0), lambda G: G * first


def rotated(x: Array) -> tuple[Any, ...]:
    order = np.roll(np.arange(len(x)), 1)
    return x[order], lambda G: G[np.argsort(order)]


def repeated(x: Array) -> tuple[Any, ...]:
    index = np.array([0, 0, *range(len(x))])

    def gx(G: Array) -> Array:
        g = np.zeros_like(x)
        np.add.at(g, index, G)
        return g

    return x[index], gx


def windows(x: Array, w: Array) -> tuple[Any, ...]:
    """y[p] = Σᵢ w[i] x[p + i]"""
    n = len(x) - len(w) + 1
    y = np.sum([wi * x[i : i + n] for i, wi in enumerate(w)], axis=0)

    def gx(G: Array) -> Array:
        g = np.zeros_like(x)
        for i, wi in enumerate(w):
            g[i : i + n] += G * wi
        return g

    return y, gx, lambda G: np.array([(G * x[i : i + n]).sum() for i in range(len(w))])


def matrix(rng: Rng) -> list[Array]:
    return [rng.normal(size=rng.integers(2, 5, 2))]


def pair(rng: Rng) -> list[Array]:
    return [rng.normal(size=shape) for shape in [rng.integers(2, 5, 2)] * 2]


def rows(rng: Rng) -> list[Array]:
    n, m = rng.integers(2, 5, 2)
    return [rng.normal(size=(n, m)), rng.normal(size=m)]


def squares(rng: Rng) -> list[Array]:
    n = rng.integers(2, 5)
    return [rng.normal(size=(n, n)), rng.normal(size=(n, n))]


def signal(rng: Rng) -> list[Array]:
    return [rng.normal(size=rng.integers(5, 9)), rng.normal(size=rng.integers(2, 4))]


OPERATIONS: dict[Recipe, Callable[[Rng], list[Array]]] = {
    sine: matrix, relu: matrix, product: pair, add: rows, matmul: squares, mean: matrix, softmax: matrix, standardise: matrix,
    cumsum: matrix, maximum: matrix, rotated: matrix, repeated: matrix, windows: signal,
}  # fmt: skip


# Errors


def changed(recipe: Recipe, which: int, change: Callable[..., Array]) -> Recipe:
    """The recipe with change(right map, G, *arguments) in the place of one map."""

    @wraps(recipe)
    def wrong(*arrays: Array) -> tuple[Any, ...]:
        value, *maps = recipe(*arrays)
        right = maps[which]
        maps[which] = lambda G: change(right, G, *arrays)
        return value, *maps

    return wrong


def one_entry(right: Map, G: Array, *_: Array) -> Array:
    g = np.array(right(G))
    g.flat[np.abs(g).argmax()] *= 1.5
    return g


def smallest_entry(right: Map, G: Array, *_: Array) -> Array:
    g = np.array(right(G))
    g.flat[np.where(g == 0, np.inf, np.abs(g)).argmin()] *= 1.5
    return g


def not_a_number(right: Map, G: Array, *_: Array) -> Array:
    g = np.array(right(G))
    g.flat[np.abs(g).argmax()] = np.nan
    return g


def by_layout(right: Map, G: Array, *_: Array) -> Array:
    return right(G) * (1 if G.flags.c_contiguous else 2)


def noisy(right: Map, G: Array, *_: Array) -> Array:
    g = right(G)
    return g * (1 + 1e-3 * np.random.default_rng().normal(size=g.shape))


def growing(recipe: Recipe) -> Recipe:
    """A map that keeps what it has given and adds to it."""

    @wraps(recipe)
    def wrong(*arrays: Array) -> tuple[Any, ...]:
        value, first, *maps = recipe(*arrays)
        kept: list[Array] = []

        def gx(G: Array) -> Array:
            kept.append(np.array(first(G)))
            return np.sum(kept, axis=0)

        return value, gx, *maps

    return wrong


def writing(recipe: Recipe) -> Recipe:
    """An operation that computes in the memory of its argument."""

    @wraps(recipe)
    def wrong(x: Array, *others: Array) -> tuple[Any, ...]:
        result = recipe(x.copy(), *others)
        x *= 1.5
        return result

    return wrong


EVERYWHERE: dict[str, Callable[[Recipe, int], Recipe]] = {
    "a factor 2": lambda f, k: changed(f, k, lambda right, G, *_: 2 * right(G)),
    "a part in a thousand": lambda f, k: changed(f, k, lambda right, G, *_: 1.001 * right(G)),
    "the sign": lambda f, k: changed(f, k, lambda right, G, *_: -right(G)),
    "zero": lambda f, k: changed(f, k, lambda right, G, *_: 0 * right(G)),
    "one wrong entry": lambda f, k: changed(f, k, one_entry),
    "the smallest entry wrong": lambda f, k: changed(f, k, smallest_entry),
    "one entry NaN": lambda f, k: changed(f, k, not_a_number),
    "wrong if the incoming gradient is strided": lambda f, k: changed(f, k, by_layout),
    "a constant added": lambda f, k: changed(f, k, lambda right, G, *_: right(G) + 0.01),
    "the incoming gradient ignored": lambda f, k: changed(f, k, lambda right, G, *_: right(np.ones_like(G))),
    "noise in the gradient": lambda f, k: changed(f, k, noisy),
    "a gradient kept and added to": lambda f, _: growing(f),
    "the argument written to": lambda f, _: writing(f),
}  # fmt: skip

PARTICULAR: dict[str, tuple[Recipe, int, Callable[..., Array]]] = {
    "the mask dropped": (relu, 0, lambda right, G, x: G),
    "the mask turned round": (relu, 0, lambda right, G, x: G * (x <= 0)),
    "only the diagonal": (softmax, 0, lambda right, G, x: G * softmax(x)[0] * (1 - softmax(x)[0])),
    "half a softmax": (softmax, 0, lambda right, G, x: right(G) / 2),
    "statistics taken for constants": (standardise, 0, lambda right, G, x: G / np.sqrt(x.var(0) + 0.1)),
    "the variance taken for a constant": (standardise, 0, lambda right, G, x: (G - G.mean(0)) / np.sqrt(x.var(0) + 0.1)),
    "the mean for the sum": (add, 1, lambda right, G, a, b: G.mean(0)),
    "one of the broadcast rows": (add, 1, lambda right, G, a, b: G[0]),
    "broadcasting not undone": (add, 1, lambda right, G, a, b: G),
    "the sum for the mean": (mean, 0, lambda right, G, x: right(G) * len(x)),
    "a transpose forgotten": (matmul, 0, lambda right, G, A, B: G @ B),
    "the gradient transposed": (matmul, 1, lambda right, G, A, B: right(G).T),
    "arguments exchanged": (product, 0, lambda right, G, a, b: G * a),
    "not reversed": (cumsum, 0, lambda right, G, x: G.cumsum(0)),
    "to all instead of the largest": (maximum, 0, lambda right, G, x: np.broadcast_to(G, x.shape)),
    "a permutation undone the wrong way": (rotated, 0, lambda right, G, x: np.roll(G, 1, 0)),
    "a repeated index counted once": (repeated, 0, lambda right, G, x: G[2:] + 0),
    "a window off by one": (windows, 0, lambda right, G, x, w: np.roll(right(G), 1)),
}
ERRORS = (*EVERYWHERE, *PARTICULAR)
HIDDEN = {"a gradient kept and added to", "the argument written to", "wrong if the incoming gradient is strided"}  # at first


def planted(error: str, rng: Rng) -> tuple[Recipe, list[Array]]:
    """A recipe with the error, and arguments at which it is one: some gradient is not 0, and a wrong map gives another."""
    while True:
        if error in PARTICULAR:
            recipe, which, change = PARTICULAR[error]
            wrong = changed(recipe, which, change)
        else:
            recipe = list(OPERATIONS)[rng.integers(len(OPERATIONS))]
            which = int(rng.integers(len(OPERATIONS[recipe](rng))))
            wrong = EVERYWHERE[error](recipe, which)
        arrays = OPERATIONS[recipe](rng)
        value, *maps = recipe(*arrays)
        G = signed(rng, value.shape)
        right, other = maps[which](G), wrong(*[a.copy() for a in arrays])[1 + which](G)
        if right.any() and (error in HIDDEN or not same(other, right, 1e-9)):
            return wrong, arrays


def correct(rng: Rng) -> tuple[Recipe, list[Array]]:
    """A chain of one to four operations with right maps, and its arguments."""
    recipe = list(OPERATIONS)[rng.integers(len(OPERATIONS))]
    arrays = OPERATIONS[recipe](rng)
    inner = (sine, relu, softmax, standardise, cumsum, rotated, repeated)
    links = [inner[i] for i in rng.integers(len(inner), size=rng.integers(3))]
    links += [(mean, maximum)[rng.integers(2)]] * int(rng.integers(2))
    for link in links:
        recipe = chained(link, recipe)
    return recipe, arrays


def chained(outer: Recipe, inner: Recipe) -> Recipe:
    """outer(inner(…)), by the chain rule."""

    @wraps(inner)
    def both(*arrays: Array) -> tuple[Any, ...]:
        y, *maps = inner(*arrays)
        z, carry = outer(y)
        return z, *(lambda G, back=back: back(carry(G)) for back in maps)

    both.__name__ = f"{outer.__name__}_of_{inner.__name__}"
    return both


# The test


@dataclass
class SelfTest:
    """How often each planted error was caught, and how often a correct operation was flagged."""

    trials: int
    cases: int
    caught: dict[str, int] = field(default_factory=dict)
    flagged: int = 0

    @property
    def share(self) -> float:
        """The share of planted errors that was caught, over all kinds."""
        return sum(self.caught.values()) / (self.trials * len(self.caught))

    def __bool__(self) -> bool:
        return self.flagged == 0 and min(self.caught.values()) >= 0.99 * self.trials

    def __str__(self) -> str:
        rows = [f"{name:<46}{100 * n / self.trials:6.1f} %" for name, n in self.caught.items()]
        whole = f"{'all planted errors':<46}{100 * self.share:6.2f} %  of {self.trials} trials each"
        return "\n".join([*rows, whole, f"{'correct operations flagged':<46}{self.flagged:6}    of {self.cases:,}"])


def finds_fault(recipe: Recipe, arrays: list[Array], seed: int) -> bool:
    """Whether `gradcheck` does."""
    check = Check(
        of_function(differentiable(recipe), arrays, None), None, "auto", seed, rtol=1e-6, atol=0.0, max_inconclusive=0.05
    )
    with np.errstate(all="ignore"):
        return check.run() is not None


def self_test(trials: int = 500, cases: int = 10_000, seed: int = 0, checker: Checker = finds_fault) -> SelfTest:
    """Plant every error `trials` times at random arguments, and try `cases` correct operations: what does the check say?

    `checker(recipe, arrays, seed)` tells whether a check finds fault: `gradcheck` does, unless another is given. The result is
    true where at least 99 % of each error was caught and nothing correct was flagged; its text is a table.
    """
    if trials < 1 or cases < 1:
        raise ValueError(f"self_test: trials and cases must be at least 1, got {trials} and {cases}")
    found, rng = SelfTest(trials, cases), np.random.default_rng(seed)
    for error in ERRORS:
        found.caught[error] = sum(checker(*planted(error, rng), i) for i in range(trials))
    found.flagged = sum(checker(*correct(rng), i) for i in range(cases))
    return found
