"""What an aggregation is, and what all need: the Gramian of the rows, and their combination."""

from abc import ABC, abstractmethod

import numpy as np

from minimtl.backend import Array, is_array
from minimtl.equation import equation

BLOCK = 1 << 12  # columns of J multiplied at once, in their own type; the sums over blocks are float64
TINY, LARGE = 1e-30, 1e30  # beyond these squares of float32 may have lost digits


class Aggregation(ABC):
    """J (K, P), a row of gradient for each task → d (P,), in the dtype of J"""

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
        return combination(self.weights(gramian(J)), J)


@equation(
    "mtl.gramian",
    r"G_{jk} = \sum_{i=1}^{P} J_{ji} J_{ki}",
    shapes="J (K, P) → G (K, K)",
    conventions="of float32 exact to a part in 10⁷ of the longest row's square",
)
def gramian(J: Array) -> Array:
    """Gⱼₖ = Σᵢ Jⱼᵢ Jₖᵢ      (K, P) → (K, K) float64"""
    with np.errstate(all="ignore"):
        G = blockwise(J)
    longest = G.diagonal().max(initial=0)
    return G if TINY < longest < LARGE or J.dtype == np.float64 else blockwise(J.astype(np.float64))


def blockwise(J: Array) -> Array:
    """J Jᵀ, block by block."""
    G = np.zeros((len(J), len(J)))
    for start in range(0, J.shape[1], BLOCK):
        part = J[:, start : start + BLOCK]
        G += part @ part.T
    return G


@equation("mtl.combination", r"d_i = \sum_{k=1}^{K} w_k J_{ki}", shapes="w (K), J (K, P) → d (P)")
def combination(w: Array, J: Array) -> Array:
    """dᵢ = Σₖ wₖ Jₖᵢ      (K,), (K, P) → (P,) in the dtype of J"""
    return w.astype(J.dtype) @ J


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
    return G / n / n[:, None]


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
