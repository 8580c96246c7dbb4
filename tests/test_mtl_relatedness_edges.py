"""Relatedness: what signs, scales, ties and holes must not break; estimators and affinity against their definitions."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mtl_relatedness import quadratic, seeds, value
from test_mtl_relatedness import test_affinity_on_a_quadratic_is_known as known_affinity

import minimtl as mm
from minimtl import mtl, nn
from minimtl.mtl import relatedness as R
from minimtl.mtl.relatedness import objectives


def test_minus_one_is_a_class_and_so_is_a_text() -> None:
    """Only what is said to be missing is."""
    signs = np.array([-1, 1, -1, 1, 1, -1])
    words = np.where(signs > 0, "yes", "no")
    assert R.label_correlation({"a": signs, "b": words})["a", "b"] == pytest.approx(1)
    unknown = np.array(["yes", "?", "no", "yes", "no", "?"])
    there = unknown != "?"
    found = R.label_correlation({"a": signs, "b": unknown}, missing="?")
    assert found["a", "b"] == pytest.approx(R.label_correlation({"a": signs[there], "b": unknown[there]})["a", "b"])


@given(seeds)
def test_of_two_classes_each_all_correlations_are_one(seed: int) -> None:
    """Cramér's V, η and |ρ| of the same truth values."""
    a, b = np.random.default_rng(seed).integers(0, 2, (2, 12))
    a[:2], b[:2] = (0, 1), (1, 0)
    V = R.label_correlation({"a": a, "b": b})["a", "b"]
    η = R.label_correlation({"a": a, "b": b.astype(float)})["a", "b"]
    ρ = R.label_correlation({"a": a.astype(float), "b": b.astype(float)})["a", "b"]
    assert V == pytest.approx(η, abs=1e-7) == pytest.approx(ρ, abs=1e-7)


def test_what_does_not_vary_is_related_to_nothing() -> None:
    """Of 0.1 … 0.1 the mean is another number: nothing may be made of the rounding errors."""
    flat, y = np.full(21, 0.1), np.random.default_rng(0).standard_normal(21)
    for other in (flat, y, np.arange(21) % 3):
        assert R.label_correlation({"a": flat, "b": other})["a", "b"] == 0
        assert R.mutual_information(flat, other) == 0
    assert R.linear_cka(np.full((21, 3), 0.1), np.full((21, 3), 0.1)) == 0


@given(seeds)
def test_normalised_information_is_one_of_the_same_and_bounded(seed: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 3, (2, 15))
    a[:2], b[:2] = (0, 1), (0, 1)
    found = R.mutual_information(a, b, normalised=True)
    assert 0 <= found <= 1
    assert found == pytest.approx(R.mutual_information(b, a, normalised=True))
    assert R.mutual_information(a, 7 - a, normalised=True) == pytest.approx(1)


@given(seeds, st.integers(1, 4))
def test_nearest_neighbours_by_their_definition(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    N = 14
    x, y, c = rng.standard_normal(N), rng.standard_normal(N), np.repeat([0, 1], N // 2)
    x, y = x / x.std(), y / y.std()

    def ψ(n: int) -> float:
        return -0.5772156649015329 + sum(1 / m for m in range(1, n))

    both = mixed = 0.0
    for i in range(N):
        others = [j for j in range(N) if j != i]
        ε = sorted(max(abs(x[i] - x[j]), abs(y[i] - y[j])) for j in others)[k - 1]
        both += sum(ψ(sum(abs(v[i] - v[j]) < ε for j in others) + 1) for v in (x, y)) / N
        ε = sorted(abs(x[i] - x[j]) for j in others if c[j] == c[i])[k - 1]
        mixed += (ψ(N // 2) + ψ(sum(abs(x[i] - x[j]) <= ε for j in others))) / N
    assert R.mutual_information(x, y, k) == pytest.approx(max(0.0, ψ(k) + ψ(N) - both), abs=1e-9)
    assert R.mutual_information(x, c, k) == pytest.approx(max(0.0, ψ(k) + ψ(N) - mixed), abs=1e-9)


def test_wide_features_need_no_wide_matrix() -> None:
    """More features than samples are turned first; the value is that of the definition."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((6, 40)), rng.standard_normal((6, 30))
    U, V = X - X.mean(axis=0), Y - Y.mean(axis=0)
    naive = (np.linalg.norm(V.T @ U) ** 2) / (np.linalg.norm(U.T @ U) * np.linalg.norm(V.T @ V))
    assert R.linear_cka(X, Y) == pytest.approx(naive, rel=1e-12)
    assert R.linear_cka(rng.standard_normal((4, 100_000)), Y[:4]) < 1


def test_a_matrix_of_any_measure() -> None:
    rng = np.random.default_rng(0)
    z = {"a": rng.standard_normal((20, 3)), "b": rng.standard_normal((20, 5))}
    found = R.Relatedness.of(R.linear_cka, z)
    assert found.symmetric
    assert found["a", "b"] == R.linear_cka(z["a"], z["b"])
    assert not R.Relatedness(["a", "b"], np.array([[1.0, 2.0], [3.0, 4.0]])).symmetric
    with pytest.raises(ValueError, match=r"tasks 'a' and 'b': linear_cka: needs features of the same samples"):
        R.Relatedness.of(R.linear_cka, {"a": z["a"], "b": z["b"][:9]})


@given(seeds)
def test_affinity_is_the_naive_computation(seed: int) -> None:
    """Two layers, three heads in float32: a copy of the model takes each step by hand."""
    mm.manual_seed(seed)
    trunk, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), mm.randn(6, 3)
    heads, y = [nn.Linear(4, 1) for _ in range(3)], [mm.randn(6, 1) for _ in range(3)]
    φ = list(trunk.parameters())

    def losses() -> dict[str, mm.Tensor]:
        return {str(k): nn.functional.mse_loss(h(trunk(x)), t) for k, (h, t) in enumerate(zip(heads, y, strict=True))}

    before, memory = [p.numpy().tobytes() for p in φ], [p.array for p in φ]
    Z = R.affinity(losses, φ, 0.1)
    assert [p.numpy().tobytes() for p in φ] == before
    assert all(p.array is a for p, a in zip(φ, memory, strict=True))
    here = [loss.item() for loss in losses().values()]
    for i in range(3):
        gs, kept = mm.grad(losses()[str(i)], φ), [p.data for p in φ]
        for p, g in zip(φ, gs, strict=True):
            p.data = mm.Tensor(p.array - 0.1 * g.array)
        there = [loss.item() for loss in losses().values()]
        for p, data in zip(φ, kept, strict=True):
            p.data = data
        np.testing.assert_allclose(Z.matrix[i], [1 - b / a for a, b in zip(here, there, strict=True)], atol=1e-6)


def test_a_graph_made_before_affinity_is_still_good() -> None:
    """φ is not written to, so nobody else's gradient is spoilt."""
    φ, losses = quadratic()
    out = (φ * φ).sum()
    R.affinity(losses, [φ], 0.25)
    assert mm.grad(out, φ)[0].tolist() == [4, 2]


def test_a_planted_error_in_the_step_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step up instead of down."""
    right = objectives.after_step
    monkeypatch.setattr(objectives, "after_step", lambda losses, g, φ, η: right(losses, g, φ, -η))
    with pytest.raises(AssertionError):
        known_affinity()


@given(seeds)
def test_conflict_is_fed_gradients_or_their_products(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((5, 3, 4))
    steps[0, 0] = 0  # a step without gradient of the first task does not count for it
    by_J, by_G = R.Conflict(list("abc")), R.Conflict(list("abc"))
    for J in steps:
        by_J.add(J)
        by_G.add(G=J @ J.T)
    np.testing.assert_allclose(by_J.mean().matrix, by_G.mean().matrix, atol=1e-12)
    np.testing.assert_array_equal(by_J.share().matrix, by_G.share().matrix)
    found = [J[0] @ J[1] / np.linalg.norm(J[0]) / np.linalg.norm(J[1]) for J in steps[1:]]
    assert by_J.mean()["a", "b"] == pytest.approx(np.mean(found))
    assert by_J.share()["a", "b"] == np.mean([c < 0 for c in found])
    assert R.Conflict(["a", "b"]).share()["a", "b"] == 0


def test_tasks_may_be_absent_from_a_step_that_is_watched() -> None:
    rng, inner = np.random.default_rng(0), mtl.aggregation.GradVac()
    watch, J = R.Conflict(list("abc"), inner), {k: rng.normal(size=5) for k in "abc"}
    for now in ("ab", "ca", "ab"):
        watch.rows = list(now)
        watch(np.stack([J[k] for k in now]))
        assert inner.rows == list(now)
    c = mtl.aggregation.cosines(mtl.aggregation.gramian(np.stack([*J.values()])))
    assert watch.mean()["a", "b"] == pytest.approx(c[0, 1]) and watch.mean()["a", "c"] == pytest.approx(c[0, 2])
    assert watch.mean()["b", "c"] == 0 and watch.steps == 3 and watch.mean().symmetric
    watch.reset()
    assert inner.target == {}


@given(seeds, st.permutations(range(4)), st.integers(1, 4))
def test_another_order_of_tasks_scores_the_same(seed: int, order: list[int], budget: int) -> None:
    M, tasks = np.random.default_rng(seed).standard_normal((4, 4)), list("abcd")
    permuted = R.Relatedness([tasks[i] for i in order], M[np.ix_(order, order)]).groups(budget)
    found = R.Relatedness(tasks, M).groups(budget)
    assert value(M, tasks, permuted) == pytest.approx(value(M, tasks, found), abs=1e-9)
    assert {frozenset(g) for g in permuted} == {frozenset(g) for g in found}  # random numbers do not tie


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: R.label_correlation({"a": np.ones(4), "b": np.full(4, np.inf)}), ValueError, "those of 'b' are float64, or ∞"),
        (lambda: R.mutual_information(np.full(9, np.nan), np.ones(9)), ValueError, "labels must be finite"),
        (lambda: R.mutual_information(np.arange(9.0), np.arange(9.0), 0), ValueError, "neighbours must be an integer ≥ 1"),
        (lambda: R.mutual_information(np.arange(20.0) % 2, np.arange(20) % 2), ValueError, "as integers they are classes"),
        (lambda: R.mutual_information(np.arange(9.0), np.arange(9), normalised=True), ValueError, "needs two of classes"),
        (lambda: R.linear_cka(np.full((3, 2), np.nan), np.ones((3, 2))), ValueError, "needs finite features"),
        (lambda: R.gradient_cosine(np.ones(3)), ValueError, r"a row for each task, got float64 \(3,\)"),
        (lambda: R.gradient_cosine(np.array([[1.0, np.nan]])), ValueError, "J must be finite"),
        (lambda: R.Conflict(["a", "b"]).add(), ValueError, "needs J or G, and not both"),
        (lambda: R.Conflict(["a", "b"]).add(G=np.ones((2, 3))), ValueError, r"got G of shape \(2, 3\)"),
        (lambda: R.Conflict(["a", "b"]).add(G=-np.eye(2)), ValueError, "its diagonal is negative"),
        (lambda: R.Conflict(["a", "b"])(np.ones((2, 2))), ValueError, "has no aggregation"),
        (lambda: R.Relatedness(["a"], np.ones((1, 1))).groups(1.5), ValueError, "budget must be an integer, got 1.5"),
        (lambda: R.Relatedness.of(R.linear_cka, {"a": np.ones((3, 2))}), ValueError, "at least two tasks"),
        (lambda: stepped(lr=math.inf), ValueError, "a finite rate above 0"),
        (lambda: stepped(times=2), ValueError, "leaves, each once"),
        (lambda: stepped(other=lambda φ: mm.tensor(1.0)), ValueError, "the loss of 'other' depends on nothing"),
        (lambda: stepped(other=lambda φ: φ * φ), ValueError, "must be a scalar for each"),
        (lambda: stepped(other=lambda φ: (φ[0] * 3).exp(), lr=-1e3), ValueError, "a finite rate above 0"),
        (lambda: stepped(other=lambda φ: 1 + (-φ[0] * 1e3).exp(), lr=10.0), FloatingPointError, "after a step on 'x' are"),
    ],
)
def test_more_that_cannot_be_measured_is_refused(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def stepped(lr: float = 0.25, times: int = 1, other: Any = None) -> R.Relatedness:
    """The affinity of x² + 1 and another loss; φ must be as it was, also after an error."""
    φ = mm.tensor([2.0, 1.0], dtype="float64").requires_grad_()
    try:
        return R.affinity(lambda: {"x": φ[0] ** 2 + 1, "other": (other or (lambda φ: φ[1] ** 2 + 1))(φ)}, [φ] * times, lr)
    finally:
        assert φ.tolist() == [2, 1]
