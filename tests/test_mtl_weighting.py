"""Weightings of losses: their formulas at work, what is learnt, what is refused."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim
from minimtl.mtl import weighting as W
from minimtl.mtl.weighting import Batch

positive = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)


def losses(values: Any) -> dict[str, mm.Tensor]:
    """{"a": …, "b": …}, in float64."""
    return {k: mm.tensor(float(v), dtype="float64") for k, v in zip("abcde", values)}


def begun(weighting: W.Weighting, K: int) -> W.Weighting:
    weighting.begin(list("abcde"[:K]))
    return weighting


def alphas(weighting: W.Weighting, values: Any) -> list[float]:
    return list(weighting.weights(losses(values)).values())


# The slopes of F are the weights


@given(positive)
def test_gls_weighs_by_the_geometric_mean_over_the_loss(L: list[float]) -> None:
    """F = 2 for losses 1, 2, 4; and αₖ = F/(K Lₖ), which counts every task's relative change alike."""
    F = math.prod(L) ** (1 / len(L))
    assert alphas(begun(W.GLS(), len(L)), L) == pytest.approx([F / (len(L) * loss) for loss in L], rel=1e-6)
    assert begun(W.GLS(), 3)(losses([1, 2, 4])).item() == pytest.approx(2, rel=1e-7)


@given(positive)
def test_a_function_of_the_losses_is_a_weighting(L: list[float]) -> None:
    assert alphas(begun(W.Function(lambda L: (L**2).sum()), len(L)), L) == pytest.approx([2 * loss for loss in L])


@given(positive, st.floats(0.05, 5))
def test_stch_lies_between_the_largest_and_that_and_the_logarithm_of_the_count(L: list[float], μ: float) -> None:
    F = begun(W.STCH(μ), len(L))(losses(L)).item()
    largest = max(L) / len(L)
    assert largest - 1e-9 <= F <= largest + μ * math.log(len(L)) + 1e-9
    assert sum(alphas(begun(W.STCH(μ), len(L)), L)) == pytest.approx(1 / len(L))


@given(positive)
def test_random_weights_add_up_to_one_and_come_from_the_seed(L: list[float]) -> None:
    first, second = (alphas(begun(W.RLW(mm.Generator(7)), len(L)), L) for _ in range(2))
    assert first == second
    assert sum(first) == pytest.approx(1)


def test_fixed_weights_are_d1s() -> None:
    assert alphas(begun(W.Fixed({"a": 0.5}), 2), [3, 4]) == [0.5, 1]


def test_each_label_counts_alike() -> None:
    weighting = begun(W.PerLabel(), 2)
    weighting.observe(Batch(losses=losses([1, 2]), labels={"a": 30, "b": 10}))
    assert alphas(weighting, [1, 2]) == pytest.approx([0.75, 0.25])


@given(positive)
def test_normalised_weights_have_mean_one(L: list[float]) -> None:
    assert np.mean(alphas(begun(W.Normalised(W.GLS()), len(L)), L)) == pytest.approx(1)


@given(positive.filter(lambda L: len(L) > 1))
def test_tasks_may_be_absent(L: list[float]) -> None:
    """Where a task takes no part the others are weighed as if it did not exist; its own parameters get no gradient."""
    weighting = begun(W.Uncertainty(), len(L))
    del (given := losses(L))["a"]
    assert set(weighting.weights(given)) == set(given)
    assert weighting.s.grad.numpy()[0] == 0


# What is learnt


@given(positive)
def test_uncertainty_rests_where_the_variance_is_the_loss(L: list[float]) -> None:
    """∂F/∂s = 0 at e^s = L; the weight is 1/(2 L) then, and twice as far for a cross-entropy."""
    weighting = begun(W.Uncertainty(classification=["a"]), len(L))
    c = np.array([2.0, *[1.0] * (len(L) - 1)])
    weighting.s.data = mm.tensor(np.log(c * L))
    assert alphas(weighting, L) == pytest.approx([1 / (2 * loss) for loss in L])
    np.testing.assert_allclose(weighting.s.grad.numpy(), 0, atol=1e-12)


@given(positive)
def test_imtl_l_rests_where_the_weighted_losses_are_one(L: list[float]) -> None:
    weighting = begun(W.IMTLL(), len(L))
    weighting.s.data = mm.tensor(-np.log(L))
    assert alphas(weighting, L) == pytest.approx([1 / loss for loss in L])
    np.testing.assert_allclose(weighting.s.grad.numpy(), 0, atol=1e-12)


def test_gradnorm_goes_the_way_that_was_worked_out_by_hand() -> None:
    """α = 0, SGD(.1), gradient norms (1, 2, 5) and (2, 1, 4): fractions from Chen's algorithm."""
    weighting = begun(W.GradNorm(alpha=0, lr=0.1), 3)
    rule = optim.SGD(weighting.trained(), lr=0.1)
    for norms, w in [((1, 2, 5), (33 / 28, 9 / 7, 15 / 28)), ((2, 1, 4), (411 / 350, 291 / 175, 57 / 350))]:
        rule.zero_grad()
        weighting.observe(Batch(losses=losses([1, 1, 1]), norms=dict(zip("abc", map(float, norms)))))
        weighting.weights(losses([1, 1, 1]))
        if norms[0] == 1:
            assert weighting.w.grad.tolist() == [-1, -2, 5]
        rule.step()
        weighting.after_step(dict)
        assert weighting.w.tolist() == pytest.approx(w, rel=1e-6)


def test_gradnorm_keeps_weights_above_zero_and_of_mean_one() -> None:
    weighting = begun(W.GradNorm(), 2)
    weighting.w.data = mm.tensor([-1.0, 1.5])
    weighting.after_step(dict)
    assert weighting.w.numpy().min() > 0
    assert weighting.w.numpy().sum() == pytest.approx(2)


def test_dwa_counts_alike_for_two_epochs_then_by_what_fell_slowest() -> None:
    weighting = begun(W.DWA(temperature=1.0), 2)
    weighting.after_epoch({"a": 4.0, "b": 1.0})
    assert alphas(weighting, [1, 1]) == [1, 1]
    weighting.after_epoch({"a": 2.0, "b": 1.0})
    e = np.exp([0.5, 1.0])
    assert alphas(weighting, [1, 1]) == pytest.approx(2 * e / e.sum())
    weighting.after_epoch({"a": 2.0, "b": 0.25})
    e = np.exp([1.0, 0.25])
    assert alphas(weighting, [1, 1]) == pytest.approx(2 * e / e.sum())


def test_dtp_follows_the_running_mean_of_the_metric() -> None:
    weighting = begun(W.DTP(gamma=2.0, momentum=0.5), 2)
    for a, b in ((0.5, 0.9), (0.7, 0.9)):
        weighting.observe(Batch(losses=losses([1, 1]), metrics={"a": {"accuracy": a}, "b": {"accuracy": b}}))
    assert alphas(weighting, [1, 1]) == pytest.approx([-(0.4**2) * math.log(0.6), -(0.1**2) * math.log(0.9)])


@given(positive)
def test_famo_weighs_by_the_reciprocal_of_the_loss_and_adds_up_to_one(L: list[float]) -> None:
    α = alphas(begun(W.FAMO(), len(L)), L)
    assert α == pytest.approx(np.divide(1, L) / np.divide(1, L).sum(), rel=1e-5)


@pytest.mark.parametrize(("after", "sign"), [((0.5, 1.0), (-1, 1)), ((1.0, 0.5), (1, -1)), ((0.5, 0.5), (0, 0))])
def test_famo_turns_to_the_task_that_gained_less(after: tuple[float, float], sign: tuple[int, int]) -> None:
    weighting = begun(W.FAMO(gamma=0), 2)
    weighting.weights(losses([1, 1]))
    weighting.after_step(lambda: losses(after))
    assert np.sign(np.round(weighting.ξ.numpy(), 7)).tolist() == list(sign)
    assert list(weighting.trained()) == []


# What is refused


def learning(weighting: W.Weighting, K: int) -> W.Weighting:
    """One that has had its first step."""
    begun(weighting, K).observe(Batch(losses=losses([1] * K), norms=dict.fromkeys("abcde"[:K], 1.0)))
    weighting.weights(losses([1] * K))
    weighting.begin = lambda tasks: None  # type: ignore[method-assign]
    return weighting


@pytest.mark.parametrize(
    ("weighting", "L", "said"),
    [
        (W.GLS(), [1, -1], r"GLS: losses must be ≥ 0, that of 'b' is -1"),
        (W.FAMO(), [1, -1], r"FAMO: losses must be at least .* that of 'b' is -1"),
        (W.GradNorm(), [1, 0], r"GradNorm: losses must be greater than 0 at the first step, that of 'b' is 0"),
        (W.Function(lambda L: L), [1, 2], "must give a scalar Tensor"),
        (learning(W.GradNorm(), 2), [1, -1], r"GradNorm: losses must be ≥ 0, that of 'b' is -1"),
    ],
)
def test_losses_outside_a_methods_domain_are_refused(weighting: W.Weighting, L: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        begun(weighting, 2).weights(losses(L))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: W.Fixed({"a": -1}), "not negative"),
        (lambda: begun(W.Fixed({"a": 0.0}), 1), "must not all be 0"),
        (lambda: begun(W.Fixed({"c": 1}), 2), r"weights for \['c'\]"),
        (lambda: W.STCH(0), "mu must be greater than 0"),
        (lambda: begun(W.STCH(preferences={"a": 1}), 2), "a preference > 0 for each"),
        (lambda: W.DWA(0), "temperature must be greater than 0"),
        (lambda: begun(W.DWA(), 2).after_epoch({"a": 1}), r"no loss of the tasks \['b'\]"),
        (lambda: W.DTP(momentum=0), r"momentum in \(0, 1\]"),
        (lambda: W.GradNorm(alpha=math.inf), "alpha must be finite"),
        (lambda: begun(W.Uncertainty(["x"]), 2), r"names \['x'\]"),
        (lambda: begun(W.FAMO(bounds={"x": 1}), 2), r"bounds for \['x'\]"),
        (lambda: begun(W.GLS(), 1).weights(losses([1, 2])), r"needs losses of \['a'\]"),
        (
            lambda: begun(W.DTP(), 1).observe(Batch(losses=losses([1]), metrics={"a": {}})),
            r"DTP: task 'a' needs a first metric in \[0, 1\]",
        ),
    ],
)
def test_options_that_mean_nothing_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


# In training


def regression(*options: Any) -> tuple[mtl.HardSharing, list[mtl.Task], list[Any]]:
    """Two regressions whose scales differ a hundredfold."""
    mm.manual_seed(0)
    model = mtl.HardSharing(nn.Linear(3, 4), {"a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})
    x = mm.randn(32, 3)
    y = {"a": x[:, :1].detach(), "b": 10 * x[:, 1:2].detach()}
    return model, [mtl.Task(k, nn.MSELoss(), *options) for k in "ab"], [(x, y)]


ALL: list[Any] = [
    W.Fixed(), W.PerLabel(), W.RLW(), W.GLS(), W.STCH(), W.DWA(), W.Uncertainty(), W.IMTLL(), W.GradNorm(), W.FAMO(),
    W.Normalised(W.GradNorm()), lambda L: (L + 1).log().sum(),
]  # fmt: skip


@pytest.mark.parametrize("weighting", ALL, ids=lambda w: type(w).__name__)
def test_every_weighting_trains(weighting: Any) -> None:
    model, tasks, loader = regression()
    rule = optim.Adam(model.parameters(), lr=0.05)
    history = mtl.Trainer(model, tasks, rule, weighting=weighting).fit(loader * 20, epochs=4, verbose=False)
    for k in "ab":
        assert history[f"{k} loss"][-1] < history[f"{k} loss"][0]
    assert all(p.dtype == mm.float32 for p in model.parameters())


def test_parameters_of_a_weighting_are_trained_in_a_group_without_decay() -> None:
    model, tasks, loader = regression()
    rule = optim.SGD(model.parameters(), lr=0.001, weight_decay=0.1)
    weighting = W.Uncertainty(lr=0.5)
    history = mtl.Trainer(model, tasks, rule, weighting=weighting).fit(loader, epochs=3, verbose=False)
    assert rule.param_groups[1]["params"] == [weighting.s]
    assert (rule.param_groups[1]["weight_decay"], rule.param_groups[1]["lr"]) == (0, 0.5)
    assert (weighting.s.numpy() != 0).all()
    assert len(history["b weight"]) == 3
    assert history["b weight"][-1] < history["b weight"][0] == 0.5


def test_the_step_goes_down_the_gradient_of_the_objective() -> None:
    """Against the objective differentiated as a whole."""
    model, tasks, ((x, y),) = regression()
    L = {k: nn.functional.mse_loss(ŷ, y[k]) for k, ŷ in model(x).items()}
    F = begun(W.GLS(), 2)(L)
    wanted = [p.numpy() - 0.1 * g.numpy() for p, g in zip(model.parameters(), mm.grad(F, [*model.parameters()]))]
    mtl.Trainer(model, tasks, optim.SGD(model.parameters(), lr=0.1), weighting=W.GLS()).fit([(x, y)], verbose=False)
    for p, w in zip(model.parameters(), wanted):
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-4, atol=1e-6)


def test_dtp_reads_the_tasks_metrics() -> None:
    mm.manual_seed(0)
    model = mtl.HardSharing(nn.Linear(3, 4), {"a": nn.Linear(4, 2)})
    task = mtl.Task("a", nn.CrossEntropyLoss(), metrics=["accuracy"])
    x = mm.randn(16, 3)
    weighting = W.DTP()
    trainer = mtl.Trainer(model, [task], optim.SGD(model.parameters(), lr=0.1), weighting=weighting)
    history = trainer.fit([(x, (x[:, 0] > 0).long())], verbose=False)
    assert weighting.κ["a"] == history["a accuracy"][0]


def test_gradnorm_measures_the_layer_it_is_told() -> None:
    model, tasks, loader = regression()
    weighting = W.GradNorm(on=[model.shared.weight])
    mtl.Trainer(model, tasks, optim.SGD(model.parameters(), lr=1e-9), weighting=weighting).fit(loader, verbose=False)
    x, y = loader[0]
    for k, norm in zip("ab", weighting.norms):
        (g,) = mm.grad(nn.functional.mse_loss(model(x)[k], y[k]), [model.shared.weight])
        assert norm == pytest.approx(np.linalg.norm(g.numpy()), rel=1e-4)


def test_gradnorm_without_a_trunk_that_learns_is_refused() -> None:
    model, tasks, loader = regression()
    model.shared.requires_grad_(False)
    rule = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with pytest.raises(ValueError, match="φ is empty or frozen"):
        mtl.Trainer(model, tasks, rule, weighting=W.GradNorm()).fit(loader, verbose=False)


def test_weights_of_which_none_is_left_are_not_brought_to_mean_one() -> None:
    weighting = begun(W.Normalised(W.Function(lambda L: (0 * L).sum())), 2)
    with pytest.raises(FloatingPointError, match="must add up to more than 0"):
        weighting.weights(losses([1, 2]))


def test_a_weight_beside_a_weighting_is_refused() -> None:
    model, tasks, _ = regression(0.5)
    rule = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="beside a weighting; leave them 1"):
        mtl.Trainer(model, tasks, rule, weighting=W.GLS())
    assert len(rule.param_groups) == 1


def test_weights_below_zero_stop_before_anything_moves() -> None:
    model, tasks, loader = regression()
    before = [p.numpy().copy() for p in model.parameters()]
    trainer = mtl.Trainer(model, tasks, optim.SGD(model.parameters(), lr=0.1), weighting=lambda L: L[0] - L[1])
    with pytest.raises(FloatingPointError, match="Function: weights must be finite, not negative .* at step 1"):
        trainer.fit(loader, verbose=False)
    assert all((p.numpy() == b).all() for p, b in zip(model.parameters(), before))


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """GLS without the root: the tests of its slopes and of its value fail."""
    monkeypatch.setattr(W.GLS, "objective", lambda self, L, now: L.log().sum().exp())
    with pytest.raises(AssertionError):
        test_gls_weighs_by_the_geometric_mean_over_the_loss.hypothesis.inner_test([1.0, 2.0, 4.0])
