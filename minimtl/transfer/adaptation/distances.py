"""How far apart two domains are: a loss of their features x (N, D), of the source, and y (M, D), of the target.

Any function of these two that gives a scalar will do for `Alignment`. One of means alone, in two lines:

    def of_means(x, y):
        return ((x.mean(dim=0) - y.mean(dim=0)) ** 2).sum()
"""

from collections.abc import Sequence

import numpy as np

from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.ops import cat, check, exp

DOMAINS = {"x": "source", "y": "target"}


def features(name: str, source: Tensor, target: Tensor) -> None:
    """Two Tensors (N, D) and (M, D) of floats, N and M > 1."""
    for what, z in (("source", source), ("target", target)):
        check.tensor(name, what, z)
        check.floating(name, z.array)
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1] or min(len(source), len(target)) < 2:
        raise ValueError(f"{name}: needs features (N, D) and (M, D), N and M > 1, got {source.shape} and {target.shape}")


@equation(
    "tl.deep_coral",
    r"l = \frac{1}{4 D^2} \sum_{a=1}^{D} \sum_{b=1}^{D} (S_{ab} - T_{ab})^2, "
    r"\quad S_{ab} = \frac{1}{N - 1} \sum_{n=1}^{N} u_{na} u_{nb}, \quad T_{ab} = \frac{1}{M - 1} \sum_{m=1}^{M} v_{ma} v_{mb}, "
    r"\quad u_{na} = x_{na} - \frac{1}{N} \sum_{i=1}^{N} x_{ia}, \quad v_{ma} = y_{ma} - \frac{1}{M} \sum_{i=1}^{M} y_{ia}",
    symbols=DOMAINS,
    shapes="x (N, D), y (M, D) → l ()",
    source="Sun, Saenko 2016",
    conventions="the covariances are unbiased; the means do not count",
)
def deep_coral(source: Tensor, target: Tensor) -> Tensor:
    """l = 1 / (4 D²) · Σₐ Σ_b (S[a,b] − T[a,b])²      (N, D), (M, D) → scalar

    S[a,b] = 1 / (N − 1) · Σₙ uₙₐ u[n,b], u = x less its mean: the covariance of the source; T that of the target. Means do not count.
    """
    features("deep_coral", source, target)
    away = covariance(source) - covariance(target)
    return (away * away).sum() / (4 * source.shape[1] ** 2)


def covariance(x: Tensor) -> Tensor:
    """C[a,b] = 1 / (N − 1) · Σₙ uₙₐ u[n,b], u = x less its mean      (N, D) → (D, D)"""
    u = centred(x)
    return u.T @ u / (len(x) - 1)


def centred(x: Tensor) -> Tensor:
    """u_n = x_n − 1/N Σᵢ xᵢ      (N, D) → (N, D)"""
    return x - x.mean(dim=0, keepdim=True)


PAIRS = (
    r", \quad p_{ij} = \sum_{d=1}^{D} (x_{id} - x_{jd})^2, \quad q_{ij} = \sum_{d=1}^{D} (y_{id} - y_{jd})^2, "
    r"\quad r_{ij} = \sum_{d=1}^{D} (x_{id} - y_{jd})^2, \quad k(v) = \sum_{a=1}^{A} e^{-\frac{v}{2 \alpha_a s}}, "
    r"\quad s = \frac{1}{P^2} \sum_{i=1}^{P} \sum_{j=1}^{P} \sum_{d=1}^{D} (u_{id} - u_{jd})^2"
)
SAMPLES = {**DOMAINS, "u": "source", "α": "scales"}


@equation(
    "tl.mmd",
    r"l = \frac{1}{N^2} \sum_{i=1}^{N} \sum_{j=1}^{N} k(p_{ij}) + \frac{1}{M^2} \sum_{i=1}^{M} \sum_{j=1}^{M} k(q_{ij})"
    rf" - \frac{{2}}{{N M}} \sum_{{i=1}}^{{N}} \sum_{{j=1}}^{{M}} k(r_{{ij}}){PAIRS}",
    symbols=SAMPLES,
    shapes="x (N, D), y (M, D), u (P, D), α (A) → l ()",
    source="Gretton et al. 2012, Long et al. 2015",
    conventions="biased: a sample is compared with itself too, so l ≥ 0; u holds the rows of both; to the derivative s is a constant",
    unseen=("unbiased",),
)
@equation(
    "tl.mmd.unbiased",
    r"l = \frac{1}{N (N - 1)} \sum_{i=1}^{N} \sum_{j=1}^{N} [i \ne j] k(p_{ij})"
    r" + \frac{1}{M (M - 1)} \sum_{i=1}^{M} \sum_{j=1}^{M} [i \ne j] k(q_{ij})"
    rf" - \frac{{2}}{{N M}} \sum_{{i=1}}^{{N}} \sum_{{j=1}}^{{M}} k(r_{{ij}}){PAIRS}",
    symbols=SAMPLES,
    shapes="x (N, D), y (M, D), u (P, D), α (A) → l ()",
    source="Gretton et al. 2012",
    conventions="unbiased for a kernel chosen beforehand, here nearly; it may be negative; u holds the rows of x and of y",
    unseen=("unbiased",),
)
def mmd(
    source: Tensor, target: Tensor, scales: Sequence[float] = (0.125, 0.25, 0.5, 1.0, 2.0), unbiased: bool = False
) -> Tensor:
    """l = 1/N² Σᵢ Σⱼ k(pᵢⱼ) + 1/M² Σᵢ Σⱼ k(qᵢⱼ) − 2 / (N M) · Σᵢ Σⱼ k(rᵢⱼ)      MMD², squared maximum mean discrepancy; → scalar

    p, q, r: squared distances within x (N, D), within y (M, D) and between them; k(v) = Σₐ e^{−v / (2 αₐ s)}, Gaussians added up,
    of variances αₐ s, where s is the mean squared distance of all pairs of both samples, and no gradient comes of it. α: scales.
    Unbiased, no sample is compared with itself, and l may be negative:

    l = 1 / (N (N − 1)) · Σᵢ Σⱼ [i ≠ j] k(pᵢⱼ) + 1 / (M (M − 1)) · Σᵢ Σⱼ [i ≠ j] k(qᵢⱼ) − 2 / (N M) · Σᵢ Σⱼ k(rᵢⱼ)
    """
    features("mmd", source, target)
    α = np.asarray(scales, dtype=float)
    if α.ndim != 1 or not len(α) or not (np.isfinite(α) & (α > 0)).all():
        raise ValueError(f"mmd: scales must be positive numbers, at least one, got {scales!r}")
    N = len(source)
    u = centred(cat([source, target]))  # distances stay, and fewer digits cancel
    sizes = (u * u).sum(dim=1, keepdim=True)
    q = (sizes + sizes.T - 2 * (u @ u.T)).clip(min=0)  # (N + M, N + M)
    s = float(q.detach().mean()) or 1.0  # where all rows are equal every kernel is 1, whatever s
    K = sum((exp(q * (-1 / (2 * a * s))) for a in α[1:].tolist()), exp(q * (-1 / (2 * float(α[0]) * s))))

    def within(k: Tensor) -> Tensor:
        n = len(k)
        return (k.sum() - n * len(α)) / (n * (n - 1)) if unbiased else k.mean()  # every kernel of i and i is 1

    return within(K[:N, :N]) + within(K[N:, N:]) - 2 * K[:N, N:].mean()
