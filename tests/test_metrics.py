"""Metrics: of all data, however it is cut into batches; against their definitions."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl.training import METRICS, Means

CLASSES = ("accuracy", "f1", "f1_micro", "iou")
NUMBERS = ("mse", "mae", "r2")


def naive(name: str, p: Any, t: Any, C: int) -> float:
    """Of predicted and true classes, by counting; of numbers by their formulas."""
    if name == "accuracy":
        return float(np.mean(p == t))
    if name == "mse":
        return float(np.mean((p - t) ** 2))
    if name == "mae":
        return float(np.mean(np.abs(p - t)))
    if name == "r2":
        return float(1 - ((p - t) ** 2).sum() / ((t - t.mean()) ** 2).sum())
    hits = [sum((p == c) & (t == c)) for c in range(C)]
    false = [sum((p == c) != (t == c)) for c in range(C)]
    if name == "f1_micro":
        return float(2 * sum(hits) / (2 * sum(hits) + sum(false)))
    each = [(2 * h / (2 * h + f) if name == "f1" else h / (h + f)) for h, f in zip(hits, false) if h + f > 0]
    return float(np.mean(each))


@st.composite
def classified(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """Predicted and true classes, of which some may not occur."""
    C, n = draw(st.integers(2, 5)), draw(st.integers(1, 20))
    p, t = (np.array(draw(st.lists(st.integers(0, C - 1), min_size=n, max_size=n))) for _ in range(2))
    return p, t, C


def logits(p: Any, C: int) -> mm.Tensor:
    """Outputs whose largest is that of the class."""
    return mm.tensor(np.moveaxis(np.eye(C)[p], -1, 1))


def in_batches(name: str, output: mm.Tensor, target: mm.Tensor, ends: list[int]) -> float:
    means, cuts = Means(), sorted({0, len(target), *(e % len(target) for e in ends)})
    for a, b in itertools.pairwise(cuts):
        means.count("x", METRICS[name].value, METRICS[name].sums(output[a:b], target[a:b]))
    return means.values()["x"]


@pytest.mark.parametrize("name", CLASSES)
@given(data=classified(), ends=st.lists(st.integers(0, 99), max_size=3))
def test_metrics_of_classes_are_of_all_samples(name: str, data: Any, ends: list[int]) -> None:
    p, t, C = data
    found = in_batches(name, logits(p, C), mm.tensor(t), ends)
    assert found == pytest.approx(naive(name, p, t, C), rel=1e-12)
    assert METRICS[name](logits(p, C), mm.tensor(t)) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("name", NUMBERS)
@given(n=st.integers(2, 20), ends=st.lists(st.integers(0, 99), max_size=3), seed=st.integers(0, 999))
def test_metrics_of_numbers_are_of_all_samples(name: str, n: int, ends: list[int], seed: int) -> None:
    ŷ, y = np.random.default_rng(seed).standard_normal((2, n, 2))
    found = in_batches(name, mm.tensor(ŷ), mm.tensor(y), ends)
    assert found == pytest.approx(naive(name, ŷ, y, 0), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", CLASSES)
def test_pixels_count_like_samples(name: str) -> None:
    p, t = np.random.default_rng(0).integers(0, 3, (2, 2, 4, 5))
    assert METRICS[name](logits(p, 3), mm.tensor(t)) == pytest.approx(naive(name, p.ravel(), t.ravel(), 3))


@pytest.mark.parametrize("name", CLASSES)
def test_ignored_labels_do_not_count(name: str) -> None:
    p, t = np.array([0, 1, 1, 0]), np.array([0, 1, -100, -100])
    assert METRICS[name](logits(p, 2), mm.tensor(t)) == 1
    assert math.isnan(METRICS[name](logits(p, 2), mm.full((4,), -100).long()))


def test_binary_outputs_are_predicted_by_their_sign() -> None:
    output, target = mm.tensor([[-1.0], [2.0], [3.0]]), mm.tensor([[0.0], [1.0], [0.0]])
    assert METRICS["accuracy"](output, target) == pytest.approx(2 / 3)


def test_one_hot_labels_are_the_classes_of_their_largest() -> None:
    p, t = np.random.default_rng(0).integers(0, 3, (2, 9))
    for name in CLASSES:
        assert METRICS[name](logits(p, 3), logits(t, 3)) == METRICS[name](logits(p, 3), mm.tensor(t))


def test_a_mean_over_batches_would_be_wrong() -> None:
    """The planted error: F1 averaged over batches is not the F1 of all."""
    p, t = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    halves = [METRICS["f1"](logits(p[i : i + 2], 2), mm.tensor(t[i : i + 2])) for i in (0, 2)]
    assert abs(np.mean(halves) - METRICS["f1"](logits(p, 2), mm.tensor(t))) > 0.05


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"classes must lie in 0 … 1, got 0 … 2"):
        METRICS["f1"](mm.zeros(2, 2), mm.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"outputs \(N, C, …\), C > 1, and classes"):
        METRICS["iou"](mm.zeros(2, 3), mm.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="must be 0 or 1"):
        METRICS["accuracy"](mm.zeros(2), mm.tensor([0.0, 0.5]))
    for mask in (np.zeros((2, 3, 3), np.float32), np.ones((2, 3, 3), np.float32)):  # pixels, no distributions over rows
        with pytest.raises(
            ValueError, match=r"each of \(3, 3\) outputs is 0 or 1 by itself, outputs and targets are \(N, 1, …\)"
        ):
            METRICS["iou"](mm.zeros(2, 3, 3), mm.tensor(mask))
    with pytest.raises(ValueError, match="of one shape"):
        METRICS["r2"](mm.zeros(2, 1), mm.zeros(2))
    means = Means()
    means.count("x", METRICS["f1"].value, np.eye(2))
    with pytest.raises(ValueError, match="differ in their number of classes"):
        means.count("x", METRICS["f1"].value, np.eye(3))
