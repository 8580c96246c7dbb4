"""Aggregations that are optima: the shortest combination, the best for the worst-off task, a bargain, projections."""

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.aggregation.base import Weighted, scaled
from minimtl.mtl.aggregation.solvers import bargain, min_norm, nonnegative_qp, root


class MGDA(Weighted):
    """d = arg min ‖d‖ over the convex combinations of the gₖ: 0 where the point is Pareto stationary; Désidéri 2012, Sener, Koltun 2018

    `normalization` "l2" takes gₖ/‖gₖ‖ instead, and gives a combination of those.
    """

    def __init__(self, normalization: str | None = None) -> None:
        if normalization not in (None, "l2"):
            raise ValueError(f"MGDA: normalization must be None or 'l2', got {normalization!r}")
        self.normalization = normalization

    def weights(self, G: Array) -> Array:
        n = np.sqrt(np.diag(G)) if self.normalization else np.ones(len(G))
        n = np.where(n > 0, n, 1.0)
        return shortest(scaled(G / n / n[:, None])[0]) / n


@equation(
    "mtl.mgda",
    r"v = \sum_{k=1}^{K} \sum_{j=1}^{K} w_k G_{kj} w_j = \min_{1 \le k \le K} \sum_{j=1}^{K} G_{kj} w_j",
    symbols={"w": "min_norm", "K": "G"},
    source="Désidéri 2012",
    conventions="v is ‖d‖², and no task's ⟨gₖ, d⟩ is less: with w ≥ 0, Σ w = 1, so d is the shortest",
)
def shortest(G: Array) -> Array:
    """v = Σₖ Σⱼ wₖ Gₖⱼ wⱼ = minₖ Σⱼ Gₖⱼ wⱼ      (K, K) → w (K,)"""
    return min_norm(G)


class CAGrad(Weighted):
    """d = arg max minₖ ⟨gₖ, d⟩ over ‖d − g₀‖ ≤ c ‖g₀‖, g₀ the mean gradient; Liu et al. 2021

    c = 0 is the mean, from c = 1 on no task is opposed, c → ∞ points where MGDA does. Where all gradients are the same g, d is
    (1 + c) g, which some code divides by 1 + c or 1 + c² afterwards; here a single task has d = g, and nothing is divided. Where no
    d gains for all, as beside a gradient that is 0, there may be many that oppose none: d is the one nearest to g₀.
    """

    def __init__(self, c: float = 0.5) -> None:
        if not (np.isfinite(c) and c >= 0):
            raise ValueError(f"CAGrad: c must be finite and not negative, got {c}")
        self.c = c

    def weights(self, G: Array) -> Array:
        K = len(G)
        G, _ = scaled(G)
        mean = np.full(K, 1 / K)
        κ = self.c * np.sqrt(max(mean @ G @ mean, 0.0))
        if κ < 1e-12 or K == 1:
            return mean
        w = worst_off(G, κ)
        return toward(w, G, κ) if w @ G @ w > 1e-14 else onto_cone(mean, G)


def worst_off(G: Array, κ: float) -> Array:
    """w = arg min ⟨g_w, g₀⟩ + κ ‖g_w‖ over the simplex: the dual of CAGrad.

    κ‖g_w‖ is the least of κ(‖g_w‖²/τ + τ)/2 over τ, where τ = ‖g_w‖. For a given τ the problem is the shortest combination of the
    vectors gₖ + (τ/κ) g₀, and ‖g_w‖/τ falls with τ.
    """
    dots = G.mean(axis=1)  # ⟨gₖ, g₀⟩
    square = dots.mean()  # ‖g₀‖²

    def of(τ: float) -> Array:
        s = τ / κ
        return min_norm(G + s * (dots + dots[:, None]) + s * s * square)

    def excess(τ: float) -> float:
        w = of(τ)
        return float(np.sqrt(max(w @ G @ w, 0.0)) - τ)

    return of(root(excess, 1e-8, float(np.sqrt(np.diag(G).max())) * (1 + 1e-9)))


@equation(
    "mtl.cagrad",
    r"v_k = \frac{1}{K} + \frac{\kappa w_k}{\sqrt{\sum_{i=1}^{K} \sum_{j=1}^{K} w_i G_{ij} w_j}}",
    shapes="w (K), G (K, K) → v (K)",
    source="Liu et al. 2021",
    conventions="d = Σₖ vₖ gₖ, κ = c ‖g₀‖; w least for ⟨g_w, g₀⟩ + κ ‖g_w‖ on the simplex",
)
def toward(w: Array, G: Array, κ: float) -> Array:
    """vₖ = 1/K + κ wₖ / √(Σᵢ Σⱼ wᵢ Gᵢⱼ wⱼ)"""
    return 1 / len(w) + κ * w / np.sqrt(w @ G @ w)


class NashMTL(Weighted):
    """d = Σₖ αₖ gₖ with αₖ ⟨gₖ, d⟩ = 1 for every k: what tasks that bargain agree on; Navon et al. 2022

    A gradient counts by its direction alone. G is divided by ‖G‖ first, so that d grows with J, and d is cut to the length `max_norm`,
    both as the authors do. Tasks without a gradient do not bargain.
    """

    def __init__(self, max_norm: float = 1.0) -> None:
        if not max_norm > 0:
            raise ValueError(f"NashMTL: max_norm must be greater than 0, got {max_norm}")
        self.max_norm = max_norm

    def weights(self, G: Array) -> Array:
        α, (H, s) = np.zeros(len(G)), scaled(G)
        rows = np.flatnonzero(np.diag(H) > 1e-24)
        if len(rows):
            size = np.linalg.norm(H)
            ridge = 1e-13 * np.eye(len(rows))  # keeps α finite where the point is Pareto stationary
            α[rows] = agreed(H[np.ix_(rows, rows)] / size + ridge)
            length = float(np.sqrt(max(α @ H @ α, 0.0) * s))
            if length > self.max_norm:
                α *= self.max_norm / length
        return α


@equation(
    "mtl.nash",
    r"\alpha_k = \frac{1}{\sum_{j=1}^{K} G_{kj} \alpha_j}",
    symbols={"α": "bargain"},
    shapes="G (K, K) → α (K)",
    source="Navon et al. 2022",
)
def agreed(G: Array) -> Array:
    """αₖ = 1 / (Σⱼ Gₖⱼ αⱼ)      (K, K) → (K,)"""
    return bargain(G)


class UPGrad(Weighted):
    """d = 1/K Σₖ π(gₖ): the mean of the projections onto the cone of what opposes no task; Quinton, Rey 2024

    So no ⟨gₖ, d⟩ is negative. `reg_eps` adds so much of 1, relative to the trace of G, before projecting.
    """

    def __init__(self, reg_eps: float = 0.0) -> None:
        if not reg_eps >= 0:
            raise ValueError(f"UPGrad: reg_eps must not be negative, got {reg_eps}")
        self.reg_eps = reg_eps

    def weights(self, G: Array) -> Array:
        G, _ = scaled(G)
        G = G + self.reg_eps * np.trace(G) * np.eye(len(G))
        return sum(onto_cone(u, G) for u in np.eye(len(G))) / len(G)


@equation(
    "mtl.upgrad",
    r"v = \arg\min_{v \ge u} v^\top G v",
    source="Quinton, Rey 2024",
    conventions="π(Jᵀu) = Jᵀv. Checked: v ≥ u, Gv ≥ 0, and of each pair (v − u)ₖ, (Gv)ₖ one is 0",
)
def onto_cone(u: Array, G: Array) -> Array:
    """v = arg min v′Gv over v ≥ u: Jᵀv is the projection of Jᵀu onto {d: J d ≥ 0}      (K,), (K, K) → (K,)"""
    return u + nonnegative_qp(G, -G @ u)
