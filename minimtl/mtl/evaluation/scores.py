"""Scores of several tasks as one number, and what tasks do to each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.evaluation.statistics import Interval, paired
from minimtl.training import History, Table
from minimtl.training.metrics import METRICS

Scores = Mapping[str, Mapping[str, float]]  # task → metric → value


def better_when_higher(metric: str) -> bool:
    """The direction of a metric; a loss is better when lower."""
    if metric not in METRICS and metric != "loss":
        raise ValueError(f"unknown metric {metric!r}; there are 'loss' and {sorted(METRICS)}")
    return metric != "loss" and METRICS[metric].higher_is_better


def delta_m(scores: Scores, baseline: Scores) -> float:
    """Δm in percent: the mean over tasks of the mean relative gain over the baselines; above 0 is better than each task alone

    scores, baseline: {task: {metric: value}} of the same tasks and metrics; Maninis et al. 2019. (Some code turns the sign round.)
    """
    shapes = [{k: set(by) for k, by in s.items()} for s in (scores, baseline)]
    if shapes[0] != shapes[1] or not scores:
        raise ValueError(f"delta_m: needs the same tasks and metrics, got {shapes[0]} and baselines {shapes[1]}")
    useless = [(k, m, value) for k, by in baseline.items() for m, value in by.items() if not value > 0]
    if useless:
        raise ValueError(f"delta_m: baselines must be greater than 0, relative to which gains are told, got {useless}")
    gains = []
    for k, by in scores.items():
        M, B = (np.array([float(s[m]) for m in by]) for s in (by, baseline[k]))
        gains.append(relative_gain(M, B, np.array([1.0 if better_when_higher(m) else -1.0 for m in by])))
    return 100 * float(np.mean(gains))


@equation(
    "mtl.delta_m",
    r"d = \frac{1}{n} \sum_{m=1}^{n} s_m \frac{M_m - B_m}{B_m}",
    shapes="M (n), B (n), s (n) → d ()",
    source="Maninis et al. 2019",
    conventions="of one task with n metrics; s is 1 where higher is better, −1 where lower; Δm is the mean over tasks, in percent",
)
def relative_gain(M: Array, B: Array, s: Array) -> float:
    """d = 1/n Σₘ sₘ (Mₘ − Bₘ) / Bₘ"""
    return float((s * (M - B) / B).mean())


def mean_rank(scores: Mapping[str, Scores]) -> dict[str, float]:
    """{method: its mean rank over all tasks and metrics}, 1 the best; methods that tie share the mean of their ranks"""
    methods = list(scores)
    if not methods:
        raise ValueError("mean_rank: needs at least one method")
    first = scores[methods[0]]
    if any({k: set(by) for k, by in s.items()} != {k: set(by) for k, by in first.items()} for s in scores.values()):
        raise ValueError("mean_rank: the methods need the same tasks and metrics")
    if not all(np.isfinite(value) for s in scores.values() for by in s.values() for value in by.values()):
        raise ValueError("mean_rank: scores must be finite; a method that diverged has no rank")
    ranks = []
    for k, by in first.items():
        for m in by:
            values = np.array([float(scores[method][k][m]) for method in methods])
            ranks.append(rank(-values if better_when_higher(m) else values))
    return dict(zip(methods, np.mean(ranks, axis=0).tolist(), strict=True))


@equation(
    "mtl.mean_rank",
    r"r_a = \sum_{b=1}^{n} ([x_b < x_a] + \frac{1}{2} [x_b = x_a]) + \frac{1}{2}",
    shapes="x (n) → r (n)",
    conventions="the rank of each of n methods in one metric, that is better when lower",
)
def rank(x: Array) -> Array:
    """rₐ = Σ_b ([x[b] < xₐ] + 1/2 [x[b] = xₐ]) + 1/2      the smallest has rank 1; equal ones share the mean of theirs"""
    return ((x < x[:, None]) + (x == x[:, None]) / 2).sum(axis=1) + 0.5


def forgetting(history: History, name: str) -> float:
    """How much of a metric is lost again: the best that any epoch but the last had, less that of the last; Chaudhry et al. 2018

    name: "validation digit accuracy". Below 0 where the last epoch is the best.
    """
    values, sign = np.array(history[name]), 1.0 if better_when_higher(name.split()[-1]) else -1.0
    if len(values) < 2:
        raise ValueError(f"forgetting: needs at least two epochs, the history has {len(values)}")
    return lost(sign * values)


@equation(
    "mtl.forgetting",
    r"f = \max_{1 \le e \le n - 1} a_e - a_n",
    symbols={"n": "a"},
    source="Chaudhry et al. 2018",
    conventions="a is a metric that is better when higher, over n epochs",
)
def lost(a: Array) -> float:
    """f = maxₑ aₑ − aₙ"""
    *before, last = a.tolist()
    return float(max(before) - last)


@dataclass(frozen=True)
class NegativeTransfer:
    """What each task gains from being trained with others: its metric joint − alone, paired over seeds; above 0 is better."""

    metric: Mapping[str, str]
    gains: Mapping[str, Interval]
    seeds: int

    def verdict(self, task: str) -> str:
        """ "gains", "loses", or "undecided" where the interval holds 0."""
        gain = self.gains[task]
        return "gains" if gain.low > 0 else "loses" if gain.high < 0 else "undecided"

    def table(self) -> Table:
        """A row for each task."""
        table = Table(
            "Joint against alone", ["task", "metric", "gain", "verdict"], f"{self.seeds} seeds, ± half of a 95 % interval"
        )
        for k, gain in self.gains.items():
            table.add(k, self.metric[k], f"{gain.mean:+.4f} ± {gain.half:.4f}", self.verdict(k))
        return table

    def __str__(self) -> str:
        losing = [k for k in self.gains if self.verdict(k) == "loses"]
        said = f"Trained together, these tasks lose: {', '.join(losing)}." if losing else "No task loses for certain."
        return f"{said} ({self.seeds} seeds, paired, 95 % intervals)"


def negative_transfer(
    joint: Mapping[str, Sequence[float]], alone: Mapping[str, Sequence[float]], metric: Mapping[str, str] | str
) -> NegativeTransfer:
    """Joint against alone, {task: [its metric for each seed]}, the seeds in the same order."""
    if set(joint) != set(alone) or not joint:
        raise ValueError(f"negative_transfer: needs the same tasks, got {sorted(joint)} and {sorted(alone)}")
    metrics = dict.fromkeys(joint, metric) if isinstance(metric, str) else dict(metric)
    gains = {}
    for k in joint:
        gain = paired(joint[k], alone[k])
        gains[k] = gain if better_when_higher(metrics[k]) else Interval(-gain.mean, gain.half)
    return NegativeTransfer(metrics, gains, len(next(iter(joint.values()))))
