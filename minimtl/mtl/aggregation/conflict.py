"""Aggregations that take out of a gradient what opposes another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.aggregation.base import BLOCK, Aggregation, Weighted, scaled
from minimtl.random import Generator, rng_of


class PCGrad(Weighted):
    """d = Σₖ gₖ′: each gₖ projected onto the normal plane of every gⱼ that opposes it, one after the other; Yu et al. 2020

    The others come in a random order; of two tasks there is one order. `reduction` "mean" divides by K.
    """

    def __init__(self, reduction: str = "sum", generator: Generator | None = None) -> None:
        if reduction not in ("sum", "mean"):
            raise ValueError(f"PCGrad: reduction must be 'sum' or 'mean', got {reduction!r}")
        self.reduction, self.generator = reduction, generator

    def weights(self, G: Array) -> Array:
        G, _ = scaled(G)
        w: Array = sum(projected(k, others(k, len(G), self.generator), G) for k in range(len(G)))
        return w / len(G) if self.reduction == "mean" else w


def others(k: int, K: int, generator: Generator | None) -> list[int]:
    """The tasks but k, in a random order."""
    rest = [j for j in range(K) if j != k]
    return rest if K < 3 else rng_of(generator).permutation(rest).tolist()


@equation(
    "mtl.pcgrad",
    r"d_i = J_{1,i} + J_{2,i} - \frac{\min(G_{1,2}, 0)}{G_{2,2}} J_{2,i} - \frac{\min(G_{2,1}, 0)}{G_{1,1}} J_{1,i}",
    symbols={"J": "Weighted"},
    shapes="J (K, P), G (K, K) → d (P)",
    source="Yu et al. 2020",
    conventions="of two tasks; G = J Jᵀ. Of more, each is projected on one after the other, in a random order",
    unseen=("k", "order"),
)
def projected(k: int, order: list[int], G: Array) -> Array:
    """The coefficients c of gₖ′ = Σⱼ cⱼ gⱼ, gₖ with what opposes the others taken out, in their order.

    Of two tasks dᵢ = J₁ᵢ + J₂ᵢ − min(G₁₂, 0) / G₂₂ · J₂ᵢ − min(G₂₁, 0) / G₁₁ · J₁ᵢ
    """
    c = np.zeros(len(G))
    c[k] = 1.0
    for j in order:
        dot = c @ G[j]  # ⟨gₖ′, gⱼ⟩
        if dot < 0:
            c[j] -= dot / G[j, j]
    return c


class GradVac(Weighted):
    """d = Σₖ gₖ′: gₖ turned towards every gⱼ with which its cosine is below ρ̂ₖⱼ, until it is that; Wang et al. 2021

    ρ̂ is the running mean of the cosines, ρ̂ ← (1 − β) ρ̂ + β ρ, from 0. At ρ̂ = 0 this is PCGrad.
    """

    def __init__(self, beta: float = 0.5, generator: Generator | None = None) -> None:
        if not 0 <= beta <= 1:
            raise ValueError(f"GradVac: beta must lie in [0, 1], got {beta}")
        self.beta, self.generator = beta, generator
        self.reset()

    def reset(self) -> None:
        self.target: dict[tuple[Any, Any], float] = {}  # ρ̂ of two tasks, which need not take part in every step

    def weights(self, G: Array) -> Array:
        G, _ = scaled(G)
        K, n = len(G), np.sqrt(np.diag(G))
        tasks: Sequence[Any] = self.rows if len(self.rows) == K else range(K)
        w = np.zeros(K)
        for k in range(K):
            c = np.zeros(K)
            c[k] = 1.0
            for j in others(k, K, self.generator):
                length = np.sqrt(max(c @ G @ c, 0.0))
                if length * n[j] == 0:
                    continue
                pair = tasks[k], tasks[j]
                ρ, wanted = float(np.clip(c @ G[j] / (length * n[j]), -1, 1)), self.target.get(pair, 0.0)
                if ρ < wanted:
                    c[j] += vaccine(length, n[j], ρ, min(wanted, 1 - 1e-8))  # towards a cosine of 1 it would be ∞
                self.target[pair] = (1 - self.beta) * wanted + self.beta * ρ
            w += c
        return w


@equation(
    "mtl.gradvac",
    r"a = \frac{n (\hat\rho \sqrt{1 - \rho^2} - \rho \sqrt{1 - \hat\rho^2})}{m \sqrt{1 - \hat\rho^2}}",
    symbols={"ρ̂": "wanted"},
    source="Wang et al. 2021",
    conventions="of g of length n is made g + a h, whose cosine with h, of length m, is ρ̂ instead of ρ",
)
def vaccine(n: float, m: float, ρ: float, wanted: float) -> float:
    """a = n (ρ̂ √(1 − ρ²) − ρ √(1 − ρ̂²)) / (m √(1 − ρ̂²))"""
    sine = np.sqrt(1 - wanted**2)
    return float(n * (wanted * np.sqrt(1 - ρ**2) - ρ * sine) / (m * sine))


class GradDrop(Aggregation):
    """Of each entry only the tasks of one sign are summed; which, is drawn in proportion to their sizes; Chen et al. 2020"""

    def __init__(self, generator: Generator | None = None) -> None:
        self.generator = generator

    def direction(self, J: Array) -> Array:
        rng, d = rng_of(self.generator), np.empty_like(J[0])
        for start in range(0, J.shape[1], BLOCK):
            part = J[:, start : start + BLOCK]
            d[start : start + BLOCK] = one_sign(part, rng.random(part.shape[1], dtype=np.float32))
        return d


@equation(
    "mtl.graddrop",
    r"d_i = \sum_{k=1}^{K} J_{ki} ([J_{ki} > 0] [p_i > u_i] + [J_{ki} < 0] [p_i \le u_i]), \quad "
    r"p_i = \frac{1}{2} (1 + \frac{\sum_{k=1}^{K} J_{ki}}{\sum_{k=1}^{K} |J_{ki}|})",
    shapes="J (K, P), u (P) → d (P)",
    source="Chen et al. 2020",
    conventions="uᵢ ∼ U(0, 1); where all are 0, so is dᵢ",
)
def one_sign(J: Array, u: Array) -> Array:
    """dᵢ = Σₖ Jₖᵢ ([Jₖᵢ > 0] [pᵢ > uᵢ] + [Jₖᵢ < 0] [pᵢ ≤ uᵢ]);  pᵢ = 1/2 (1 + Σₖ Jₖᵢ / (Σₖ |Jₖᵢ|))"""
    positive, negative = np.maximum(J, 0).sum(axis=0), np.minimum(J, 0).sum(axis=0)
    return np.where(positive * (1 - u) > u * -negative, positive, negative)  # p > u, without a division by 0
