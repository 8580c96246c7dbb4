"""Aggregations by the Gramian as a whole: equal angles with all gradients, or all of them made orthogonal."""

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.aggregation.base import Weighted, cosines, scaled


@equation(
    "mtl.equiangular",
    r"o_k = \sum_{j=1}^{K} c_{kj} v_j = 1",
    symbols={"v": "equiangular", "K": "c"},
    conventions="c are the cosines of the gradients: Σⱼ vⱼ gⱼ/‖gⱼ‖ has the same angle with all of them, where they are independent",
)
def equiangular(c: Array) -> Array:
    """oₖ = Σⱼ cₖⱼ vⱼ = 1      (K, K) → (K,); the nearest, and the shortest, where gradients depend on each other"""
    return np.linalg.pinv(c, rcond=1e-12, hermitian=True).sum(axis=1)


def equal(G: Array) -> Array:
    """The weights of a direction that has the same angle with all gradients."""
    n, v = np.sqrt(np.diag(G)), equiangular(cosines(G))
    v = np.where(np.abs(v).max() > 1e-10, v, 0.0)  # else it is 0 but for rounding: there is no such direction
    return v / np.where(n > 0, n, np.inf)


class IMTLG(Weighted):
    """d = Σₖ wₖ gₖ, Σₖ wₖ = 1, with ⟨d, gₖ/‖gₖ‖⟩ the same for all k; weights may be negative; Liu et al. 2021

    0 where there is no such d, the weights adding up to 0.
    """

    def weights(self, G: Array) -> Array:
        a = equal(scaled(G)[0])
        return of_sum_one(a) if abs(a.sum()) > 1e-12 * np.abs(a).sum() else np.zeros_like(a)


@equation(
    "mtl.imtl_g",
    r"w_k = \frac{a_k}{\sum_{j=1}^{K} a_j}",
    shapes="a (K) → w (K)",
    source="Liu et al. 2021",
    conventions="aₖ = vₖ/‖gₖ‖, v of mtl.equiangular: d = Σₖ wₖ gₖ has the same projection on every gₖ/‖gₖ‖",
)
def of_sum_one(a: Array) -> Array:
    """wₖ = aₖ / (Σⱼ aⱼ)      (K,) → (K,)"""
    return a / a.sum()


class ConFIG(Weighted):
    """d = (Σₖ ⟨gₖ, u⟩) u, u the unit vector of equal angles with all gradients; Liu et al. 2024"""

    def weights(self, G: Array) -> Array:
        H, _ = scaled(G)
        a = equal(H)
        return as_long(a, H) if a @ H @ a > 1e-24 * (np.abs(a) @ np.abs(H) @ np.abs(a)) else np.zeros_like(a)


@equation(
    "mtl.config",
    r"w_k = \frac{\sum_{i=1}^{K} \sum_{j=1}^{K} G_{ij} a_j}{\sum_{i=1}^{K} \sum_{j=1}^{K} a_i G_{ij} a_j} a_k",
    shapes="a (K), G (K, K) → w (K)",
    source="Liu et al. 2024",
    conventions="aₖ = vₖ/‖gₖ‖, v of mtl.equiangular: d is as long as the gradients' projections on it are together",
)
def as_long(a: Array, G: Array) -> Array:
    """wₖ = Σᵢ Σⱼ Gᵢⱼ aⱼ / (Σᵢ Σⱼ aᵢ Gᵢⱼ aⱼ) · aₖ      (K,), (K, K) → (K,)"""
    return (G @ a).sum() / (a @ G @ a) * a


class AlignedMTL(Weighted):
    """d = Jᵀ B 1/K: the gradients made orthogonal and of one length, the least singular value of J; Senushkin et al. 2023"""

    def weights(self, G: Array) -> Array:
        return balance(scaled(G)[0]).sum(axis=1) / len(G)


@equation(
    "mtl.aligned",
    r"a_{kl} = [k = l] = \frac{1}{\lambda} \sum_{i=1}^{K} \sum_{j=1}^{K} B_{ki} G_{ij} B_{jl}",
    symbols={"B": "balance", "λ": "balance", "K": "G", "a": "balance"},
    source="Senushkin et al. 2023",
    conventions="λ is the least eigenvalue of G = J Jᵀ, so that B J has orthogonal rows of the length √λ; of those above 0",
)
def balance(G: Array) -> Array:
    """aₖₗ = [k = l] = 1/λ Σᵢ Σⱼ Bₖᵢ Gᵢⱼ Bⱼₗ      (K, K) → B (K, K); the identity where G is 0"""
    λ, V = np.linalg.eigh(G)
    kept = λ > λ.max() * len(G) * np.finfo(float).eps
    if not kept.any():
        return np.eye(len(G))
    λ, V = λ[kept], V[:, kept]
    return np.sqrt(λ[0]) * (V / np.sqrt(λ)) @ V.T
