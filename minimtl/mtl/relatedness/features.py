"""Relatedness by features: how alike two representations are, and whether two samples can be told apart."""

from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.random import Generator, rng_of


def rows(name: str, X: Any, Y: Any) -> tuple[Array, Array]:
    """Two matrices (N, D) in float64."""
    x, y = (np.asarray(getattr(v, "array", v), dtype=float) for v in (X, Y))
    if x.ndim != 2 or y.ndim != 2 or min(len(x), len(y)) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"{name}: needs finite features (N, D), N > 1, got {x.shape} and {y.shape}")
    return x, y


def linear_cka(X: Any, Y: Any) -> float:
    """Linear centred kernel alignment of the features of the same N samples, in [0, 1]; Kornblith et al. 2019

    X (N, D), Y (N, E). Turning either and scaling it makes no difference. 0 where one of them is constant, exactly.
    """
    x, y = rows("linear_cka", X, Y)
    if len(x) != len(y):
        raise ValueError(f"linear_cka: needs features of the same samples, got {len(x)} and {len(y)}")
    if (x == x[0]).all() or (y == y[0]).all():  # less their mean they may be left with rounding errors
        return 0.0
    return min(1.0, aligned(*(narrow(v - v.mean(axis=0)) for v in (x, y))))


def narrow(X: Array) -> Array:
    """X turned so that it needs no more columns than rows, where it has more: products of rows are the same.      (N, D) → (N, ≤ N)"""
    if X.shape[1] <= len(X):
        return X
    R: Array = np.linalg.qr(X.T, mode="r")  # X = Rᵀ Qᵀ
    return R.T


@equation(
    "mtl.linear_cka",
    r"c = \frac{\sum_{a=1}^{D} \sum_{b=1}^{E} S_{ab}^2}{\sqrt{\sum_{a=1}^{D} \sum_{b=1}^{D} U_{ab}^2} "
    r"\sqrt{\sum_{a=1}^{E} \sum_{b=1}^{E} V_{ab}^2}}, \quad S_{ab} = \sum_{n=1}^{N} X_{na} Y_{nb}, "
    r"\quad U_{ab} = \sum_{n=1}^{N} X_{na} X_{nb}, \quad V_{ab} = \sum_{n=1}^{N} Y_{na} Y_{nb}",
    shapes="X (N, D), Y (N, E) → c ()",
    source="Kornblith et al. 2019",
    conventions="the columns of X and Y are centred",
)
def aligned(X: Array, Y: Array) -> float:
    """c = Σₐ Σ_b S[a,b]² / (√(Σₐ Σ_b U[a,b]²) √(Σₐ Σ_b V[a,b]²))      features (N, D), (N, E) → scalar

    S[a,b] = Σₙ Xₙₐ Y[n,b];  U[a,b] = Σₙ Xₙₐ X[n,b];  V[a,b] = Σₙ Yₙₐ Y[n,b]
    """
    S, U, V = X.T @ Y, X.T @ X, Y.T @ Y
    size = np.linalg.norm(U) * np.linalg.norm(V)
    return float((S * S).sum() / size) if size > 0 else 0.0


def proxy_a_distance(X: Any, Y: Any, generator: Generator | None = None) -> float:
    """2 (1 − 2ε) in [0, 2], ε the error of telling X (N, D) from Y (M, D) on samples held out; Ben-David et al. 2007

    0 where the two look alike, 2 where they are wholly apart. Half of either is drawn for training a linear classifier (ridge
    regression on ±1); the errors on either other half count alike.
    """
    x, y = rows("proxy_a_distance", X, Y)
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 4:
        raise ValueError(f"proxy_a_distance: needs features of one width, at least 4 of either, got {x.shape} and {y.shape}")
    rng = rng_of(generator)
    (x0, x1), (y0, y1) = (
        (v[order[: len(v) // 2]], v[order[len(v) // 2 :]]) for v, order in ((v, rng.permutation(len(v))) for v in (x, y))
    )
    mean, spread = np.concatenate([x0, y0]).mean(axis=0), np.concatenate([x0, y0]).std(axis=0)
    x0, x1, y0, y1 = ((v - mean) / np.where(spread > 0, spread, 1.0) for v in (x0, x1, y0, y1))
    A, t = np.concatenate([x0, y0]), np.concatenate([np.full(len(x0), 1 / len(x0)), np.full(len(y0), -1 / len(y0))])
    centre = (x0.mean(axis=0) + y0.mean(axis=0)) / 2
    w = np.linalg.solve(A.T @ A / len(A) + 1e-3 * np.eye(A.shape[1]), A.T @ t)  # Fisher's direction
    ε = (np.mean((x1 - centre) @ w <= 0) + np.mean((y1 - centre) @ w > 0)) / 2
    return distance(float(ε))


@equation("mtl.proxy_a_distance", r"d = \max(2 (1 - 2 \varepsilon), 0)", symbols={"ε": "ε"}, source="Ben-David et al. 2007")
def distance(ε: float) -> float:
    """d = max(2 (1 − 2 ε), 0)      ε: the error of a classifier that tells two samples apart, at most ½"""
    return max(2 * (1 - 2 * ε), 0.0)
