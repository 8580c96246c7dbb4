"""Features that are there already, brought closer: standardised, selected, recoloured. Matrices (N, D) in, matrices out.

X is of the source, Y of the target, arrays or Tensors; what comes out is of the kind and dtype that came in. No labels are needed.
"""

from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.relatedness.features import rows


def pair(name: str, X: Any, Y: Any) -> tuple[Array, Array]:
    """Features of two domains, of one width, in float64."""
    x, y = rows(name, X, Y)
    if x.shape[1] != y.shape[1] or x.shape[1] == 0:
        raise ValueError(f"{name}: needs features of one width, got {x.shape} and {y.shape}")
    return x, y


def like(X: Any, values: Array) -> Any:
    """The values as X is: a Tensor or an array, of its dtype where that is of floats."""
    dtype = np.asarray(getattr(X, "array", X)).dtype
    values = values.astype(dtype if dtype.kind == "f" else np.float64)
    return Tensor(values) if isinstance(X, Tensor) else values


@equation(
    "tl.standardise",
    r"z_{nd} = \frac{x_{nd} - \mu_d}{\sigma_d}, \quad \mu_d = \frac{1}{M} \sum_{m=1}^{M} y_{md}, "
    r"\quad \sigma_d = \sqrt{\frac{1}{M} \sum_{m=1}^{M} (y_{md} - \mu_d)^2}",
    symbols={"x": "X", "y": "of"},
    shapes="x (N, D), y (M, D) → z ()",
    conventions="y is x itself unless said; σ = 0 counts as 1, so that what is constant becomes 0",
)
def standardise(X: Any, of: Any = None) -> Any:
    """z[n,d] = (x[n,d] − μ[d]) / σ[d];  μ[d] = 1/M Σₘ y[m,d];  σ[d] = √(1/M Σₘ (y[m,d] − μ[d])²)      (N, D) → (N, D)

    y is X unless given by `of`: each domain by statistics of its own, `standardise(X)` and `standardise(Y)`; what comes later from
    the target by those of the target, `standardise(new, of=Y)`. What is constant becomes 0.
    """
    x, y = pair("standardise", X, X if of is None else of)
    still = (y == y[0]).all(axis=0)  # less its mean it might be left with rounding errors
    μ, σ = np.where(still, y[0], y.mean(axis=0)), np.where(still, 1.0, y.std(axis=0))
    return like(X, (x - μ) / σ)


@equation(
    "tl.kolmogorov_smirnov",
    r"s_d = \max_{1 \le i \le P} |\frac{1}{N} \sum_{n=1}^{N} [x_{nd} \le u_{id}] - \frac{1}{M} \sum_{m=1}^{M} [y_{md} \le u_{id}]|",
    symbols={"x": "X", "y": "Y", "u": "X"},
    shapes="x (N, D), y (M, D), u (P, D) → s (D)",
    source="Kolmogorov 1933, Smirnov 1939",
    conventions="u holds the rows of x and of y",
)
def kolmogorov_smirnov(X: Any, Y: Any) -> Array:
    """s[d] = maxᵢ |1/N Σₙ [x[n,d] ≤ u[i,d]] − 1/M Σₘ [y[m,d] ≤ u[i,d]]|      (N, D), (M, D) → (D,), each in [0, 1]

    u holds the rows of both. How far apart the two distribution functions of a feature come: 0 where the samples are alike, 1 where
    they do not overlap; whatever increasing function is applied to a feature, it stays.
    """
    x, y = pair("kolmogorov_smirnov", X, Y)
    u = np.concatenate([x, y])
    share = [
        np.stack([np.searchsorted(np.sort(v[:, d]), u[:, d], side="right") for d in range(u.shape[1])]) / len(v) for v in (x, y)
    ]
    return np.abs(share[0] - share[1]).max(axis=1)


def select(X: Any, Y: Any, keep: int) -> Array:
    """The columns of the `keep` features that differ least between the domains by `kolmogorov_smirnov`, in their order.

    chosen = select(X, Y, 20);  X[:, chosen], Y[:, chosen]. A feature that is alike in both need not say anything of the labels.
    """
    s = kolmogorov_smirnov(X, Y)
    if not isinstance(keep, int) or not 1 <= keep <= len(s):
        raise ValueError(f"select: keep must be an integer from 1 to {len(s)}, the number of features, got {keep!r}")
    return np.sort(np.argsort(s, kind="stable")[:keep])


@equation(
    "tl.coral",
    r"z_{nj} = m_j + \sum_{a=1}^{D} \sum_{b=1}^{D} (x_{na} - \bar x_a) W_{ab} R_{bj}, "
    r"\quad \bar x_a = \frac{1}{N} \sum_{n=1}^{N} x_{na}, \quad m_j = \frac{1}{M} \sum_{i=1}^{M} y_{ij}",
    symbols={"x": "X", "y": "Y", "W": "power", "R": "power"},
    shapes="x (N, D), y (M, D), W (D, D), R (D, D)",
    source="Sun, Feng, Saenko 2016",
    conventions="W = (C_s + ε I)^{−1/2} and R = (C_t + ε I)^{1/2}, symmetric, C the unbiased covariances, ε: `ridge`",
    unseen=("ridge",),
)
def coral(X: Any, Y: Any, ridge: float = 1.0) -> Any:
    """zₙⱼ = mⱼ + Σₐ Σ_b (xₙₐ − x̄ₐ) W[a,b] R[b,j];  x̄ₐ = 1/N Σₙ xₙₐ;  mⱼ = 1/M Σᵢ yᵢⱼ      (N, D), (M, D) → (N, D)

    W = (C_s + ε I)^{−1/2} whitens the source, R = (C_t + ε I)^{1/2} colours it as the target is; ε: ridge. At ε = 0 mean and covariance
    of z are the target's, as far as the source has directions at all: where C_s is singular, W is its pseudo-inverse. The paper's ε = 1
    is meant for features of variance 1: `standardise` first. A classifier trained on z is for the target's features as they are.
    """
    x, y = pair("coral", X, Y)
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"coral: ridge must be finite and not negative, got {ridge}")
    εI = ridge * np.eye(x.shape[1])
    Cs, Ct = (np.atleast_2d(np.cov(v, rowvar=False)) + εI for v in (x, y))
    return like(X, y.mean(axis=0) + (x - x.mean(axis=0)) @ power(Cs, -0.5) @ power(Ct, 0.5))


def power(C: Array, p: float) -> Array:
    """Cᵖ of a symmetric matrix without negative eigenvalues; those that are 0 but for rounding stay 0.      (D, D) → (D, D)"""
    λ, V = np.linalg.eigh(C)
    kept = λ > λ.max(initial=0) * len(λ) * np.finfo(λ.dtype).eps
    return (V * np.where(kept, np.where(kept, λ, 1.0) ** p, 0.0)) @ V.T
