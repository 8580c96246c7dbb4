"""Choosing a source: scores of features and of predictions, and the correlation of two orders."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minimtl.equations.checking import Drawn, evaluated, holds
from minimtl.equations.draw import Draw
from minimtl.transfer.selection import evidence, h_score, leep, log_me, nce, tau


def classes(d: Draw, N: int, C: int = 2) -> Any:
    """Labels of N samples, all C classes among them."""
    return np.concatenate([np.arange(C), d.indices(C, N - C)])


@evaluated(
    "tl.leep",
    wrong=[("[y_i = y_n] ", ""), (r"{\sum_{i=1}^{N} \theta_{iz}}", "{N}"), (r" \theta_{nz}", r" \theta_{1,z}"), (r"\ln", "")],
)
def expected(d: Draw) -> Drawn:
    """Probabilities of the source's classes, and labels of the target."""
    N, Z = d.size(3, 5), d.size(2)
    θ, y = d.distributions(N, Z), classes(d, N)
    return {"θ": θ, "y": y}, leep(θ, y)


@evaluated("tl.nce", wrong=[("[y_i = y_n] ", ""), (r"{\sum_{i=1}^{N} [z_i = z_n]}", "{N}"), (r"\frac{1}{N} ", "")])
def conditional(d: Draw) -> Drawn:
    """Labels of source and target."""
    N = d.size(5, 7)
    z, y = classes(d, N), np.roll(classes(d, N), 1)
    return {"z": z, "y": y}, nce(z, y)


@evaluated("tl.h_score", wrong=[("g_{na} g_{nb}", "g_{na} x_{na}"), ("[y_i = y_n] x", "x"), ("B_{ba}", "B_{aa}")])
def explained(d: Draw) -> Drawn:
    """Features of three classes, and the pseudo-inverse of their covariance."""
    N, D = d.size(6, 7), d.size(2)
    x, y = d.array(N, D) + d.distinct(N, D) + 1, classes(d, N, 3)
    P = np.linalg.pinv(np.atleast_2d(np.cov(x.T, bias=True)), hermitian=True)
    return {"x": x, "y": y, "P": P}, h_score(x, y)


@evaluated(
    "tl.evidence",
    wrong=[
        (r"\frac{D}{2} \ln", r"\frac{N}{2} \ln"),
        (r"\ln(2 \pi)", r"\ln \pi"),
        (r"\frac{\beta}{2} \sum", r"\beta \sum"),
        (r"\frac{\alpha}{2}", r"\frac{1}{2}"),
        (r"\alpha + \beta s_d", r"\alpha + s_d"),
        (r"\frac{1}{N} (", "("),
    ],
)
def believed(d: Draw) -> Drawn:
    """A regression, and what is thought of its weights and its noise."""
    x, y = d.distinct(4, 2), d.array(4) + 1
    α, β = d.number(0.5, 2), d.number(0.25, 3)
    S = x.T @ x
    m = np.linalg.solve(α / β * np.eye(2) + S, x.T @ y)
    return {"x": x, "y": y, "α": α, "β": β, "m": m, "s": np.linalg.eigvalsh(S)}, evidence(x, y, α, β)


def searched(x: Any, y: Any) -> float:
    """The largest evidence, as the density of a normal vector of covariance C/β, C = xxᵀ β/α + I: β = N / yᵀC⁻¹y is the best, and
    ln β/α is searched over a grid that is made finer."""
    N, low, high = len(y), -30.0, 30.0
    for _ in range(5):
        grid = np.linspace(low, high, 121)
        C = np.exp(grid)[:, None, None] * (x @ x.T) + np.eye(N)
        square = np.linalg.solve(C, np.tile(y, (121, 1))[..., None])[..., 0] @ y
        e = -0.5 * (np.log(2 * np.pi) + np.log(square / N) + np.linalg.slogdet(C)[1] / N + 1)
        i = int(e.argmax())
        low, high = grid[max(i - 1, 0)], grid[min(i + 1, 120)]
    return float(e.max())


def at_the_start(x: Any, y: Any) -> float:
    """Nothing is maximised."""
    return float(np.mean([evidence(x, (y == k).astype(float), 1, 1) for k in np.unique(y)]))


def of_all(x: Any, y: Any) -> float:
    """The sum over classes."""
    return log_me(x, y) * len(np.unique(y))


def of_one(x: Any, y: Any) -> float:
    """The first class alone."""
    return log_me(x, (y == 0) * 1.0)


@holds("tl.log_me", wrong=[at_the_start, of_all, of_one], tolerance=1e-7)
def largest(d: Draw, f: Callable[..., float]) -> float:
    """What a search over α and β finds, for each of three classes."""
    x, y = d.array(7, 2) + d.distinct(7, 2), classes(d, 7, 3)
    x = x + (y == d.integer(0, 2))[:, None] * d.of(1.0, 3.0)  # says something of the classes
    return abs(f(x, y) - float(np.mean([searched(x, (y == k).astype(float)) for k in range(3)])))


@evaluated(
    "tl.weighted_tau",
    wrong=[
        (r"w_{ij} \, \mathrm", r"\mathrm"),
        (r"\frac{1}{r_i + 1}", r"\frac{1}{r_i + 2}"),
        (r"+ \frac{1}{r_j + 1}", r"\cdot \frac{1}{r_j + 1}"),
        ("w_{ij} [a_i", "[a_i"),
        (r"[b_i \ne b_j]", r"[a_i \ne a_j]"),
    ],
)
def ordered(d: Draw) -> Drawn:
    """Scores with ties, and ranks."""
    a, b = np.append(d.integers(0, 3, (4,)), 5) / 1.0, np.append(d.integers(0, 2, (4,)), 3) / 1.0
    r = np.argsort(d.distinct(5))
    return {"a": a, "b": b, "r": r}, tau(a, b, r)
