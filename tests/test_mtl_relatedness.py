"""Relatedness: closed forms, invariances, affinity against a naive computation, grouping against brute force."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim, plot
from minimtl.mtl import relatedness as R
from minimtl.mtl.relatedness.grouping import partitions
from minimtl.mtl.relatedness.labels import digamma

seeds = st.integers(0, 2**32 - 1)


# Labels


@given(seeds)
def test_correlation_of_numbers_is_numpys(seed: int) -> None:
    y = np.random.default_rng(seed).standard_normal((3, 20))
    found = R.label_correlation({"a": y[0], "b": mm.tensor(y[1]), "c": y[2]})
    np.testing.assert_allclose(found.matrix, np.abs(np.corrcoef(y)), rtol=1e-9)


@given(st.lists(st.integers(0, 3), min_size=8, max_size=30), seeds)
def test_classes_that_are_renamed_are_wholly_associated(classes: list[int], seed: int) -> None:
    a = np.array(classes)
    renamed = np.random.default_rng(seed).permutation(10)[a]
    many = float(len(set(classes)) > 1)
    assert R.label_correlation({"a": a, "b": renamed})["a", "b"] == pytest.approx(many, abs=1e-9)
    p = np.bincount(a) / len(a)
    entropy = -sum(v * math.log(v) for v in p if v > 0)
    assert R.mutual_information(a, renamed) == pytest.approx(entropy, abs=1e-9)


def test_of_classes_and_numbers_the_ratio_says_how_much_classes_explain() -> None:
    c = np.repeat([0, 1, 2], 5)
    assert R.label_correlation({"c": c, "y": c.astype(float)})["c", "y"] == pytest.approx(1)
    rng = np.random.default_rng(0)
    assert R.label_correlation({"c": np.tile(c, 400), "y": rng.standard_normal(6000)})["c", "y"] < 0.05


@given(seeds, st.permutations(range(4)))
def test_another_order_of_tasks_permutes_the_matrix(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    labels = {
        "a": rng.standard_normal(30),
        "b": rng.integers(0, 3, 30),
        "c": rng.integers(0, 2, 30),
        "d": rng.standard_normal(30),
    }
    names = list(labels)
    found = R.label_correlation(labels).matrix
    other = R.label_correlation({names[i]: labels[names[i]] for i in order}).matrix
    np.testing.assert_allclose(other, found[np.ix_(order, order)], atol=1e-12)
    np.testing.assert_allclose(found, found.T)
    assert (found >= 0).all() and (found <= 1 + 1e-9).all()


def test_missing_labels_are_left_out_pairwise() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal(20), rng.standard_normal(20), rng.integers(0, 2, 20)
    holes_a, holes_c = a.copy(), c.copy()
    holes_a[:5], holes_c[10:] = np.nan, -100
    found = R.label_correlation({"a": holes_a, "b": b, "c": holes_c})
    assert found["a", "b"] == pytest.approx(abs(np.corrcoef(a[5:], b[5:])[0, 1]))
    assert found["a", "c"] == pytest.approx(R.label_correlation({"a": a[5:10], "c": c[5:10]})["a", "c"])


def test_information_of_gaussians_is_known() -> None:
    rng = np.random.default_rng(0)
    for ρ in (0.0, 0.5, 0.9):
        x, z = rng.standard_normal((2, 3000))
        found = R.mutual_information(x, ρ * x + math.sqrt(1 - ρ * ρ) * z)
        assert found == pytest.approx(-0.5 * math.log(1 - ρ * ρ), abs=0.04)


def test_information_of_classes_and_numbers() -> None:
    """Two classes whose numbers lie far apart: ln 2; the same numbers: nothing."""
    rng = np.random.default_rng(0)
    c = rng.integers(0, 2, 2000)
    assert R.mutual_information(rng.standard_normal(2000) + 20 * c, c) == pytest.approx(math.log(2), abs=0.02)
    assert R.mutual_information(rng.standard_normal(2000), c) == pytest.approx(0, abs=0.02)
    assert R.mutual_information(c, rng.integers(0, 3, 2000)) == pytest.approx(0, abs=0.01)


def test_digamma_at_integers() -> None:
    assert digamma(np.array([1, 2, 10])) == pytest.approx([-0.5772156649, 0.4227843351, 2.2517525890])


def test_information_matrix() -> None:
    rng = np.random.default_rng(0)
    c = rng.integers(0, 2, 200)
    found = R.label_information({"c": c, "d": 1 - c, "y": rng.standard_normal(200)})
    assert found["c", "d"] == pytest.approx(found["c", "c"])
    assert math.isnan(found["y", "y"])


# Features


@given(seeds, st.floats(0.1, 10))
def test_cka_minds_neither_turns_nor_scales_nor_shifts(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((20, 4)), rng.standard_normal((20, 3))
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    found = R.linear_cka(X, Y)
    assert 0 <= found <= 1 + 1e-9
    assert R.linear_cka(scale * X @ turn + 3, Y) == pytest.approx(found, rel=1e-6)
    assert R.linear_cka(X, X @ turn * scale) == pytest.approx(1)
    assert R.linear_cka(Y, X) == pytest.approx(found)


def test_distances_of_what_is_apart_and_of_what_is_not() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 2000, 5))
    assert R.proxy_a_distance(X, Y, mm.Generator(0)) < 0.15
    assert R.proxy_a_distance(X, Y + 8, mm.Generator(0)) == 2
    between = R.proxy_a_distance(X, Y + 0.5, mm.Generator(0))
    assert 0.15 < between < 2
    assert R.proxy_a_distance(X, Y + 0.5, mm.Generator(0)) == between


# Objectives


def quadratic() -> tuple[mm.Tensor, Any]:
    φ = mm.tensor([2.0, 1.0], dtype="float64").requires_grad_()
    return φ, lambda: {"x": φ[0] ** 2 + 1, "y": φ[1] ** 2 + 1, "both": (φ**2).sum() + 1}


def test_affinity_on_a_quadratic_is_known() -> None:
    """A step η = ¼ on x² takes x from 2 to 1."""
    φ, losses = quadratic()
    Z = R.affinity(losses, [φ], 0.25)
    assert Z["x", "x"] == pytest.approx(1 - 2 / 5)
    assert Z["x", "y"] == 0
    assert Z["x", "both"] == pytest.approx(1 - 3 / 6)
    assert φ.tolist() == [2, 1] and φ.grad is None


def test_affinity_puts_φ_back_also_after_an_error() -> None:
    φ, losses = quadratic()
    calls = itertools.count()

    def failing() -> Any:
        if next(calls) == 2:
            raise ArithmeticError("no")
        return losses()

    with pytest.raises(ArithmeticError):
        R.affinity(failing, [φ], 0.25)
    assert φ.tolist() == [2, 1]
    φ.grad = mm.tensor([7.0, 7.0], dtype="float64")
    R.affinity(losses, [φ], 0.25)
    assert φ.grad.tolist() == [7, 7]


def test_conflict_is_watched_in_training() -> None:
    mm.manual_seed(0)
    model = mtl.HardSharing(nn.Linear(3, 4), {k: nn.Linear(4, 1) for k in "ab"})
    x = mm.randn(8, 3)
    y = {"a": x[:, :1].detach(), "b": -x[:, :1].detach()}
    watch = R.Conflict(["a", "b"], mtl.aggregation.Sum())
    rule = optim.SGD(model.parameters(), lr=0.01)
    mtl.Trainer(model, [mtl.Task(k, nn.MSELoss()) for k in "ab"], rule, aggregation=watch).fit([(x, y)] * 5, verbose=False)
    assert watch.steps == 5
    assert watch.mean()["a", "a"] == pytest.approx(1)
    assert 0 <= watch.share()["a", "b"] <= 1
    with pytest.raises(ValueError, match="watches the tasks"):
        watch(np.ones((3, 2)))


def test_cosines_of_gradients() -> None:
    found = R.gradient_cosine(np.array([[1.0, 0], [-1, 1], [0, 0]]), ["a", "b", "c"])
    assert found["a", "b"] == pytest.approx(-math.sqrt(0.5))
    assert found["a", "c"] == 0


# Grouping


def brute(M: Any, budget: int) -> float:
    """The best score over all labellings, written once more."""
    K, best = len(M), -np.inf
    for label in itertools.product(range(budget), repeat=K):
        total = 0.0
        for j in range(K):
            others = [M[i, j] for i in range(K) if i != j and label[i] == label[j]]
            total += np.mean(others) if others else M[j, j]
        best = max(best, total)
    return best


def value(M: Any, tasks: list[str], groups: list[list[str]]) -> float:
    where = {k: i for i, k in enumerate(tasks)}
    total = 0.0
    for group in groups:
        for j in group:
            others = [M[where[i], where[j]] for i in group if i != j]
            total += np.mean(others) if others else M[where[j], where[j]]
    return total


@given(st.integers(1, 5), st.integers(1, 4), seeds)
def test_the_best_partition_is_the_best(K: int, budget: int, seed: int) -> None:
    M = np.random.default_rng(seed).standard_normal((K, K))
    tasks = list("abcde"[:K])
    groups = R.Relatedness(tasks, M).groups(budget)
    assert sorted(k for g in groups for k in g) == tasks
    assert len(groups) <= budget
    assert value(M, tasks, groups) == pytest.approx(brute(M, min(budget, K)), abs=1e-9)


def test_there_are_as_many_partitions_as_bell_counts() -> None:
    for K, bell in enumerate([1, 2, 5, 15, 52, 203, 877], start=1):
        found = list(partitions(K, K))
        assert len(found) == len({tuple(p) for p in found}) == bell


def test_friends_are_trained_together() -> None:
    M = np.full((4, 4), -1.0)
    M[:2, :2] = M[2:, 2:] = 1.0
    related = R.Relatedness(["a", "b", "c", "d"], M)
    assert related.groups(2) == [["a", "b"], ["c", "d"]]
    assert related.groups(1) == [["a", "b", "c", "d"]]
    assert related.groups(4, alone=5.0) == [["a"], ["b"], ["c"], ["d"]]


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that adds instead of taking the mean."""
    monkeypatch.setattr("minimtl.mtl.relatedness.grouping.score", lambda M, g: ((g[:, None] == g) * M).sum())
    with pytest.raises(AssertionError):
        for seed in range(20):
            test_the_best_partition_is_the_best.hypothesis.inner_test(4, 3, seed)


def test_the_picture_has_a_number_in_every_field() -> None:
    figure = plot.matrix(R.Relatedness(["a", "b"], np.array([[1.0, -0.5], [np.nan, 1.0]])), "title")
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["1.00", "-0.50", "", "1.00"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: R.label_correlation({"a": np.ones(3)}), "at least two tasks"),
        (lambda: R.label_correlation({"a": np.ones(3), "b": np.ones(4)}), r"equally many, got {'a': \(3,\), 'b': \(4,\)}"),
        (lambda: R.label_correlation({"a": np.full(4, np.nan), "b": np.ones(4)}), "have 0 samples in common"),
        (lambda: R.mutual_information(np.ones(3), np.ones(3)), "needs two of"),
        (lambda: R.linear_cka(np.ones((3, 2)), np.ones((4, 2))), "the same samples"),
        (lambda: R.proxy_a_distance(np.ones((9, 2)), np.ones((9, 3))), "of one width"),
        (lambda: R.affinity(lambda: {"a": mm.tensor(-1.0, requires_grad=True) * 1}, [], 0.1), "losses must be greater than 0"),
        (lambda: R.Relatedness(["a"], np.ones((2, 2))), "square matrix"),
        (lambda: R.Relatedness(["a"], np.ones((1, 1))).groups(0), "budget of at least 1"),
        (lambda: R.Relatedness(["a"], np.array([[np.nan]])).groups(1), "must be finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
