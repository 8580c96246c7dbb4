"""What an aggregation is, and what all need: the Gramian of the rows, and their combination."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from minimtl.backend import Array, is_array
from minimtl.equation import equation

Rows = Sequence[Array]  # a row for each of K tasks, flat: J, or some of its columns

BLOCK = 1 << 14  # columns of J multiplied at once, in their own type; the sums over blocks are float64
TINY, LARGE = 1e-30, 1e30  # beyond these squares of float32 may have lost digits


class Aggregation(ABC):
    """J (K, P), a row of gradient for each task → d (P,), in the dtype of J"""

    rows: Sequence[str] = ()  # the tasks of the rows, as `mtl.backward` tells them: not all need take part in every step

    def __call__(self, J: Array) -> Array:
        """The direction of J."""
        name = type(self).__name__
        if not is_array(J) or J.ndim != 2 or J.dtype.kind != "f" or J.shape[0] == 0:
            came = f"{J.dtype} {J.shape}" if is_array(J) else type(J).__name__
            raise ValueError(f"{name}: J must be floating-point (K, P), a row for each of K ≥ 1 tasks, got {came}")
        with np.errstate(all="ignore"):
            bad = [k for k, row in enumerate(J) if not np.isfinite(row.sum()) and not np.isfinite(row).all()]
        if bad:
            raise FloatingPointError(f"{name}: the gradients of tasks {bad}, counted from 0, are not finite")
        return self.direction(J)

    @abstractmethod
    def direction(self, J: Array) -> Array:
        """d of a J that has been looked at."""

    def reset(self) -> None:  # noqa: B027  most have nothing to forget
        """Forget what earlier calls left."""


class Weighted(Aggregation):
    """d = Σₖ wₖ gₖ, with weights that depend on G = J Jᵀ alone: P counts once, not in the method."""

    @abstractmethod
    def weights(self, G: Array) -> Array:
        """w (K,) of the Gramian G (K, K), both float64."""

    def direction(self, J: Array) -> Array:
        return self.directions([J])[0]

    def directions(self, parts: Sequence[Rows]) -> list[Array]:
        """d of J = [J₁ J₂ …], cut as J is: a network's gradients need not be copied into one matrix."""
        G = sum_of_products(parts)
        bad = np.flatnonzero(~np.isfinite(G.diagonal())).tolist()
        if bad:
            raise FloatingPointError(f"{type(self).__name__}: the gradients of tasks {bad}, counted from 0, are not finite")
        w = self.weights(G)
        if w.shape != G.shape[:1] or not np.isfinite(w).all():
            raise ValueError(f"{type(self).__name__}: needs finite weights ({len(G)},), got {w}")
        return [combination(w, rows) for rows in parts]


@equation(
    "mtl.gramian",
    r"G_{jk} = \sum_{i=1}^{P} J_{ji} J_{ki}",
    shapes="J (K, P) → G (K, K)",
    conventions="of float32 exact to a part in 10⁷ of the longest row's square",
)
def gramian(J: Array) -> Array:
    """Gⱼₖ = Σᵢ Jⱼᵢ Jₖᵢ      (K, P) → (K, K) float64"""
    return sum_of_products([J])


def sum_of_products(parts: Sequence[Rows]) -> Array:
    """The Gramian of J = [J₁ J₂ …]: the sum of theirs."""
    with np.errstate(all="ignore"):
        G = sum(map(products, parts))
        longest = G.diagonal().max(initial=0)
        exact = all(row.dtype == np.float64 for rows in parts for row in rows)
        if TINY < longest < LARGE or exact:
            return G
        return sum(products([row.astype(np.float64) for row in rows]) for rows in parts)


def products(rows: Rows) -> Array:
    """⟨jth row, kth row⟩, block by block, so that a row comes from memory once."""
    K, P = len(rows), len(rows[0])
    G = np.zeros((K, K))
    for start in range(0, P, BLOCK):
        block = [row[start : start + BLOCK] for row in rows]
        for j, a in enumerate(block):
            for k, b in enumerate(block[: j + 1]):
                G[j, k] += float(a @ b)
    return G + np.tril(G, -1).T


@equation("mtl.combination", r"d_i = \sum_{k=1}^{K} w_k J_{ki}", shapes="w (K), J (K, P) → d (P)")
def combination(w: Array, J: Rows) -> Array:
    """dᵢ = Σₖ wₖ Jₖᵢ      (K,), (K, P) → (P,) in the dtype of J"""
    w, d = w.tolist(), w.tolist()[0] * J[0]
    for k in range(1, len(w)):
        d += w[k] * J[k]
    return d


@equation(
    "mtl.gradient_cosine",
    r"c_{jk} = \frac{G_{jk}}{\sqrt{G_{jj}} \sqrt{G_{kk}}}",
    shapes="G (K, K) → c (K, K)",
    conventions="G is the Gramian; 0 beside a gradient that is 0. Below 0 two tasks are in conflict",
)
def cosines(G: Array) -> Array:
    """cⱼₖ = Gⱼₖ / (√Gⱼⱼ √Gₖₖ)      (K, K) → (K, K)"""
    n = np.sqrt(np.diag(G))
    n = np.where(n > 0, n, np.inf)
    return G / np.outer(n, n)


def scaled(G: Array) -> tuple[Array, float]:
    """G/s, whose largest entry is 1, and s; G and 0 where all is 0. Methods work on G/s: then no scale is too small or too large."""
    s = float(np.abs(G).max())
    return (G / s, s) if s > 0 else (G, 0.0)


class Mean(Weighted):
    """d = Σₖ gₖ/K: the gradient of the mean loss"""

    def weights(self, G: Array) -> Array:
        return np.full(len(G), 1 / len(G))


class Sum(Weighted):
    """d = Σₖ gₖ: the gradient of the sum of losses, linear scalarisation"""

    def weights(self, G: Array) -> Array:
        return np.ones(len(G))
