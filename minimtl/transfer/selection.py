"""Choosing a source before transferring: scores of how well features or predictions of a source fit a target's labels.      D3 §8

    ranking = selection.rank({"upright": Source(trunk, head, accuracy=0.98), …}, x, y)
    print(ranking.table())                      # accuracy, size, scores, similarity: a row for each source
    ranking.order("LogME")                      # names, best first
    ranking.correlation({"upright": 0.91, …})   # of each score with the accuracies after fine-tuning: Kendall's τ, weighted

Of features (N, D): `log_me`, `h_score`. Of the source's predictions: `leep`, `nce`. More is better. None trains anything; each is to be
read as a guess at an order, which `weighted_tau` compares with what fine-tuning then gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.evaluation import arithmetic
from minimtl.mtl.relatedness import linear_cka, proxy_a_distance
from minimtl.nn.utils import evaluating
from minimtl.random import Generator
from minimtl.training import Table

# Of predictions


@equation(
    "tl.leep",
    r"T = \frac{1}{N} \sum_{n=1}^{N} \ln(\sum_{z=1}^{Z} \frac{\sum_{i=1}^{N} [y_i = y_n] \theta_{iz}}{\sum_{i=1}^{N} \theta_{iz}}"
    r" \theta_{nz})",
    symbols={"θ": "predictions"},
    shapes="θ (N, Z), y (N) → T ()",
    source="Nguyen et al. 2020",
    conventions="row n of θ are the source's probabilities of its Z classes for the target's sample n; a class that no sample is given "
    "counts for nothing",
)
def leep(predictions: Any, y: Any) -> float:
    """T = 1/N Σₙ ln(Σ_z Σᵢ [yᵢ = yₙ] θ[i,z] / (Σᵢ θ[i,z]) · θ[n,z])      log expected empirical prediction, in [−H(Y), 0]

    predictions: θ (N, Z), probabilities; y (N) classes of the target. The fraction is P(y|z): a dummy head from the source's classes
    to the target's, which is what is scored. Where θ are certain it is `nce`.
    """
    c, θ = classes("leep", y), matrix("leep", "predictions", predictions)
    same_samples("leep", c, θ)
    if (θ < 0).any() or not np.allclose(θ.sum(axis=1), 1, atol=1e-4):
        raise ValueError("leep: predictions must be probabilities, each row of which adds up to 1; of logits take the softmax")
    joint = one_hot(c).T @ θ  # (C, Z)
    mass = joint.sum(axis=0)
    given = joint / np.where(mass > 0, mass, 1.0)
    return min(0.0, float(np.log((given[c] * θ).sum(axis=1)).mean()))


@equation(
    "tl.nce",
    r"T = \frac{1}{N} \sum_{n=1}^{N} \ln \frac{\sum_{i=1}^{N} [y_i = y_n] [z_i = z_n]}{\sum_{i=1}^{N} [z_i = z_n]}",
    shapes="z (N), y (N) → T ()",
    source="Tran, Nguyen, Hassner 2019",
    conventions="T = −H(Y|Z), of the empirical distribution",
)
def nce(z: Any, y: Any) -> float:
    """T = 1/N Σₙ ln(Σᵢ [yᵢ = yₙ] [zᵢ = zₙ] / (Σᵢ [zᵢ = zₙ]))      negative conditional entropy −H(Y|Z), in [−H(Y), 0]

    z (N) classes of the source, true or predicted, y (N) of the target, for the same samples.
    """
    a, b = classes("nce", y), np.unique(labels("nce", z), return_inverse=True)[1]
    same_samples("nce", a, b)
    counts = one_hot(a).T @ one_hot(b)  # (C, Z)
    return float(np.log(counts[a, b] / counts.sum(axis=0)[b]).mean())


# Of features


@equation(
    "tl.h_score",
    r"h = \sum_{a=1}^{D} \sum_{b=1}^{D} P_{ab} B_{ba}, "
    r"\quad B_{ab} = \frac{1}{N} \sum_{n=1}^{N} g_{na} g_{nb}, "
    r"\quad g_{na} = \frac{\sum_{i=1}^{N} [y_i = y_n] x_{ia}}{\sum_{i=1}^{N} [y_i = y_n]} - \frac{1}{N} \sum_{i=1}^{N} x_{ia}",
    symbols={"x": "features", "P": "features"},
    shapes="x (N, D), y (N), P (D, D) → h ()",
    source="Bao et al. 2019",
    conventions="P is the pseudo-inverse of the covariance of x, biased as B is; g are the means of the classes, less that of all",
)
def h_score(features: Any, y: Any) -> float:
    """h = Σₐ Σ_b P[a,b] B[b,a]      tr(cov(x)⁺ cov(E[x|y])), in [0, min(D, C − 1)], C the number of classes

    features: x (N, D); P is the pseudo-inverse of their covariance, B the covariance of the means of the classes. No invertible linear
    map of the features changes it. The more features for so many samples, the higher: with D ≥ N − 1 it can be C − 1 of noise.
    """
    c, x = classes("h_score", y), matrix("h_score", "features", features)
    same_samples("h_score", c, x)
    U, _, _ = directions(x - x.mean(axis=0) if not (x == x[0]).all() else np.zeros_like(x))
    k = one_hot(c)
    return float(((k.T @ U) ** 2 / k.sum(axis=0)[:, None]).sum())  # cov⁺ makes of x an orthonormal U


@equation(
    "tl.evidence",
    r"e = \frac{1}{N} (\frac{D}{2} \ln \alpha + \frac{N}{2} \ln \beta - \frac{N}{2} \ln(2 \pi)"
    r" - \frac{\beta}{2} \sum_{n=1}^{N} (\sum_{d=1}^{D} x_{nd} m_d - y_n)^2 - \frac{\alpha}{2} \sum_{d=1}^{D} m_d^2"
    r" - \frac{1}{2} \sum_{d=1}^{D} \ln(\alpha + \beta s_d))",
    symbols={"x": "features", "m": "features", "s": "features"},
    shapes="x (N, D), y (N), m (D), s (D) → e ()",
    source="You et al. 2021, Bishop 2006 §3.5",
    conventions="m = β A⁻¹ xᵀ y, A = α I + β xᵀ x; s are the eigenvalues of xᵀ x, so the last sum is ln |A|",
)
def evidence(features: Any, y: Any, α: float, β: float) -> float:
    """e = 1/N (D/2 ln α + N/2 ln β − N/2 ln(2 π) − β/2 Σₙ (Σ_d x[n,d] m[d] − yₙ)² − α/2 Σ_d m[d]² − 1/2 Σ_d ln(α + β s[d]))

    m = β (α I + β xᵀx)⁻¹ xᵀy is the head, s are the eigenvalues of xᵀx. The log evidence of y (N), for each
    sample, under y = x w + noise, w drawn from N(0, I/α) and the noise from N(0, I/β).
    """
    x, t = matrix("evidence", "features", features), np.asarray(getattr(y, "array", y), dtype=float)
    same_samples("evidence", t, x)
    if t.ndim != 1 or not (α > 0 and β > 0):
        raise ValueError(f"evidence: needs targets (N,), α > 0 and β > 0, got {t.shape}, {α} and {β}")
    U, s, rest = directions(x, t)
    return float(profile(np.array([α / β]), s, (U.T @ t) ** 2, rest, len(t), β)[0])


@equation(
    "tl.log_me",
    r"l = \frac{1}{K} \sum_{k=1}^{K} e_k, \quad e_k = \max_{\alpha > 0, \beta > 0} e(x, y_k; \alpha, \beta)",
    source="You et al. 2021",
    conventions="e is transfer.evidence; y_k is [y = k] for class k, or target k of a regression. Checked: against a search over grids "
    "that are made finer",
)
def log_me(features: Any, y: Any) -> float:
    """l = 1/K Σₖ eₖ;  eₖ = max_{α > 0, β > 0} e(x, yₖ; α, β)      the largest `evidence` of a linear head, the mean of its K outputs

    features: x (N, D). y: classes (N), of which yₖ = [y = k], or floats (N) or (N, K), the targets of a regression. Turning the
    features or scaling all of them makes no difference; they are not centred. The paper's fixed-point iteration ends where this does;
    here α/β is searched in e^{±35} times the largest eigenvalue, so that features that fit y exactly, whose evidence has no bound, get
    a large number.
    """
    x, t = matrix("log_me", "features", features), np.asarray(getattr(y, "array", y))
    t = t.astype(float) if t.dtype.kind == "f" else one_hot(classes("log_me", y))
    t = t[:, None] if t.ndim == 1 else t
    same_samples("log_me", t, x)
    if t.ndim != 2 or t.size == 0 or not np.isfinite(t).all() or not t.any(axis=0).all():
        raise ValueError("log_me: targets must be finite, (N,) or (N, K), and none may be 0 throughout")
    return float(np.mean([best_evidence(x, column) for column in t.T]))


def best_evidence(x: Array, y: Array) -> float:
    """max e over α and β: for t = α/β the best β is known, so that one search is left, over ln t, in ever finer grids."""
    U, s, rest = directions(x, y)
    z2, low, high = (U.T @ y) ** 2, -35.0, 35.0
    scale = s.max(initial=0) or 1.0
    for _ in range(6):
        grid = np.linspace(low, high, 141)
        e = profile(scale * np.exp(grid), s, z2, rest, len(y))
        i = int(e.argmax())
        low, high = grid[max(i - 1, 0)], grid[min(i + 1, 140)]
    return float(e.max())


def profile(t: Array, s: Array, z2: Array, rest: float, N: int, β: Any = None) -> Array:
    """e at α = t β, for each t, at the β given or the best one, N / S: with S = ‖x m − y‖² + t ‖m‖² it is
    (½ Σ ln(t / (t + s)) + N/2 ln(β / 2π) − β S / 2) / N.      s: eigenvalues not 0; z2: (Uᵀy)², rest: what of ‖y‖² is outside U"""
    share = t[:, None] / (t[:, None] + s)  # (T, r)
    S = rest + share @ z2
    β = N / S if β is None else β
    return (0.5 * np.log(share).sum(axis=1) + 0.5 * N * np.log(β / (2 * np.pi)) - 0.5 * β * S) / N


def directions(x: Array, y: Any = None) -> tuple[Array, Array, float]:
    """Of x = U √s Vᵀ the U (N, r) and s (r,) that are not 0 but for rounding, and ‖y − U Uᵀ y‖²."""
    U, σ, _ = np.linalg.svd(x, full_matrices=False)
    kept = σ > σ.max(initial=0) * max(x.shape) * np.finfo(float).eps
    U = U[:, kept]
    return U, σ[kept] ** 2, 0.0 if y is None else float(((y - U @ (U.T @ y)) ** 2).sum())


def matrix(name: str, what: str, X: Any) -> Array:
    """Finite numbers (N, D) in float64."""
    x = np.asarray(getattr(X, "array", X), dtype=float)
    if x.ndim != 2 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"{name}: {what} must be finite numbers (N, D), got {x.shape}")
    return x


def labels(name: str, y: Any) -> Array:
    """Whole numbers (N,)."""
    c = np.asarray(getattr(y, "array", y))
    if c.ndim != 1 or c.dtype.kind not in "iub":
        raise ValueError(f"{name}: labels must be integers (N,), got {c.dtype} {c.shape}")
    return c


def classes(name: str, y: Any) -> Array:
    """The classes as 0 … C − 1, at least two of which occur."""
    found, c = np.unique(labels(name, y), return_inverse=True)
    if len(found) < 2:
        raise ValueError(
            f"{name}: the labels must be of two classes at least, got {found.tolist()}: of one there is nothing to tell"
        )
    return c


def same_samples(name: str, y: Array, x: Array) -> None:
    """As many labels as rows."""
    if len(y) != len(x):
        raise ValueError(f"{name}: needs a label for each sample, got {len(y)} and {len(x)}")


def one_hot(c: Array) -> Array:
    """[c = k], k = 0 … max c      (N,) → (N, C)"""
    return (c[:, None] == np.arange(c.max() + 1)).astype(float)


# Rankings


def weighted_tau(a: Any, b: Any) -> float:
    """Kendall's τ of two scores of the same things, in [−1, 1], weighted so that who comes first matters most; Vigna 2015

    The mean of two `tau`, with the ranks by a, ties by b, and the other way round: what SciPy calls `weightedtau`, NaN where all of
    one are equal.
    """
    x, y = (np.asarray(v, dtype=float) for v in (a, b))
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"weighted_tau: needs two finite scores of the same things, at least two, got {x.shape} and {y.shape}")
    if (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    return (tau(x, y, ranks(x, y)) + tau(x, y, ranks(y, x))) / 2


def ranks(first: Array, then: Array) -> Array:
    """0 for the largest, and so on; where two are equal the other score decides."""
    r = np.empty(len(first), dtype=int)
    r[np.lexsort((then, first))[::-1]] = np.arange(len(first))
    return r


@equation(
    "tl.weighted_tau",
    r"\tau = \frac{\sum_{i=1}^{n} \sum_{j=1}^{n} w_{ij} \, \mathrm{sign}(a_i - a_j) \, \mathrm{sign}(b_i - b_j)}"
    r"{\sqrt{\sum_{i=1}^{n} \sum_{j=1}^{n} w_{ij} [a_i \ne a_j]} \sqrt{\sum_{i=1}^{n} \sum_{j=1}^{n} w_{ij} [b_i \ne b_j]}}, "
    r"\quad w_{ij} = \frac{1}{r_i + 1} + \frac{1}{r_j + 1}",
    shapes="a (n), b (n), r (n) → τ ()",
    source="Vigna 2015",
    conventions="r counts from 0, the best; `weighted_tau` is the mean of two orders r",
)
def tau(a: Array, b: Array, r: Array) -> float:
    """τ = Σᵢ Σⱼ wᵢⱼ sign(aᵢ − aⱼ) sign(bᵢ − bⱼ) / (√(Σᵢ Σⱼ wᵢⱼ [aᵢ ≠ aⱼ]) √(Σᵢ Σⱼ wᵢⱼ [bᵢ ≠ bⱼ]));  wᵢⱼ = 1 / (rᵢ + 1) + 1 / (rⱼ + 1)

    a, b: scores (n); r: the rank of each, 0 the best. Both are not constant.
    """
    w = np.add.outer(1 / (r + 1), 1 / (r + 1))
    da, db = (np.sign(np.subtract.outer(v, v)) for v in (a, b))
    return float((w * da * db).sum() / np.sqrt((w * da * da).sum() * (w * db * db).sum()))


# Sources


@dataclass(frozen=True)
class Source:
    """A candidate: its trunk, x → features (N, D), and what else is known: its head, features → logits of the source's classes; its
    accuracy on its own task; some inputs of its own task."""

    trunk: nn.Module
    head: nn.Module | None = None
    accuracy: float | None = None
    inputs: Tensor | None = None


@dataclass(frozen=True)
class Ranking:
    """Scores of sources for one target: {score: {source: value}}, for those of which the score can be taken."""

    sources: dict[str, Source]
    scores: dict[str, dict[str, float]]

    def order(self, by: str = "LogME") -> list[str]:
        """The sources, best first."""
        values = self.of(by)
        return sorted(values, key=lambda name: -values[name])

    def of(self, by: str) -> dict[str, float]:
        """{source: value}, higher being better: of distances and costs the negative."""
        if by not in self.scores:
            raise KeyError(f"Ranking: no score {by!r}; there are {list(self.scores)}")
        return {name: -v if by in ("A-distance", "parameters", "multiply-adds") else v for name, v in self.scores[by].items()}

    def correlation(self, accuracies: Mapping[str, float]) -> dict[str, float]:
        """{score: weighted τ} of each score with what the sources then gave; of scores that all have."""
        if set(accuracies) != set(self.sources):
            raise ValueError(f"Ranking: needs a value for each of {list(self.sources)}, got {list(accuracies)}")
        whole = [by for by, values in self.scores.items() if len(values) == len(self.sources)]
        return {by: weighted_tau([self.of(by)[k] for k in accuracies], list(accuracies.values())) for by in whole}

    def table(self, title: str = "Sources for a target") -> Table:
        """A row for each source, the best by LogME first."""
        table = Table(title, ["source", *self.scores])
        for name in self.order():
            table.add(name, *(shown(by, values.get(name)) for by, values in self.scores.items()))
        return table


def shown(by: str, value: float | None) -> str:
    """A cell of the table."""
    return "" if value is None else f"{value:,.0f}" if by in ("parameters", "multiply-adds") else f"{value:.3f}"


def rank(
    sources: Mapping[str, Source], x: Tensor, y: Any, reference: Any = None, generator: Generator | None = None
) -> Ranking:
    """The scores of each source for a target's samples x and their labels y, classes (N).      D3 §8: performance, size, similarity

    LogME and H-score of φ(x); LEEP and NCE of what a head says; "CKA" of φ(x) with features of a `reference`, a trunk or a matrix,
    as of a model trained on the target; "A-distance" of φ(x) from φ of the source's own inputs. φ runs in evaluation mode and is left
    as it was.
    """
    if not sources:
        raise ValueError("rank: needs at least one source")
    scores: dict[str, dict[str, float]] = {}
    for name, source in sources.items():
        for by, value in scored(source, x, y, reference, generator).items():
            scores.setdefault(by, {})[name] = value
    return Ranking(dict(sources), scores)


def scored(source: Source, x: Tensor, y: Any, reference: Any, generator: Generator | None) -> dict[str, float]:
    """{score: value} of one source."""
    found = {} if source.accuracy is None else {"accuracy": float(source.accuracy)}
    found["parameters"] = float(sum(p.numel() for p in source.trunk.parameters()))
    z = run(source.trunk, x)
    found["multiply-adds"] = arithmetic(source.trunk, x[:2])
    found |= {"LogME": log_me(z, y), "H-score": h_score(z, y)}
    if source.head is not None:
        θ = run(nn.Sequential(source.head, nn.Softmax(dim=1)), z)
        found |= {"LEEP": leep(θ, y), "NCE": nce(θ.array.argmax(axis=1), y)}
    if reference is not None:
        found["CKA"] = linear_cka(z, run(reference, x) if isinstance(reference, nn.Module) else reference)
    if source.inputs is not None:
        found["A-distance"] = proxy_a_distance(run(source.trunk, source.inputs), z, generator)
    return found


def run(model: nn.Module, x: Tensor) -> Tensor:
    """model(x) in evaluation mode, without a graph."""
    with evaluating(model):
        y: Tensor = model(x)
    return y
