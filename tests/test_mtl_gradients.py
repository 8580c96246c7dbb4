"""Gradients task by task: the Jacobian of φ, what an aggregation makes of it, and that θₖ follows its own task alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import mtl, nn, optim

KEYS = "abc"


def model(K: int = 2, seed: int = 0) -> mtl.HardSharing:
    """In float64: φ of two layers, K linear heads."""
    mm.manual_seed(seed)
    trunk = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4))
    return mtl.HardSharing(trunk, {k: nn.Linear(4, 2) for k in KEYS[:K]}).double()


def batch(K: int = 2) -> tuple[mm.Tensor, dict[str, mm.Tensor]]:
    return mm.randn(6, 5).double(), {k: mm.randn(6, 2).double() for k in KEYS[:K]}


def losses(net: mtl.HardSharing, x: Any, y: dict[str, mm.Tensor]) -> dict[str, mm.Tensor]:
    return {k: F.mse_loss(ŷ, y[k]) for k, ŷ in net(x).items()}


def parts(net: mtl.HardSharing) -> tuple[list[Any], dict[str, list[Any]]]:
    return list(net.shared_parameters()), {k: list(net.task_parameters(k)) for k in net.heads}


def flat(gradients: Any) -> Any:
    return np.concatenate([g.numpy().ravel() for g in gradients])


seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 3), seeds)
def test_a_row_is_the_gradient_of_a_loss(K: int, seed: int) -> None:
    net, (x, y) = model(K, seed), batch(K)
    φ, θ = parts(net)
    J, own = mtl.jacobian(losses(net, x, y), φ, θ)
    for row, k in zip(J, y):
        np.testing.assert_array_equal(row, flat(mm.grad(losses(net, x, y)[k], φ)))
        np.testing.assert_array_equal(flat(own[k]), flat(mm.grad(losses(net, x, y)[k], θ[k])))
    np.testing.assert_array_equal(mtl.jacobian(losses(net, x, y), φ), J)


@given(st.integers(1, 3), seeds)
def test_of_the_sum_of_rows_backward_is_that_of_the_sum_of_losses(K: int, seed: int) -> None:
    net, (x, y) = model(K, seed), batch(K)
    mtl.backward(losses(net, x, y), *parts(net), lambda J: J.sum(axis=0))
    mixed = flat([p.grad for p in net.parameters()])
    net.zero_grad()
    mtl.weighted_loss(losses(net, x, y), dict.fromkeys(y, 1.0)).backward()
    np.testing.assert_allclose(mixed, flat([p.grad for p in net.parameters()]), rtol=1e-10, atol=1e-14)


METHODS = ("Mean", "PCGrad", "MGDA", "CAGrad", "NashMTL", "UPGrad", "IMTLG", "ConFIG", "AlignedMTL")


@given(st.sampled_from(METHODS), seeds)
def test_a_direction_is_the_same_in_parts_as_of_the_whole_jacobian(name: str, seed: int) -> None:
    make, net, (x, y) = getattr(mtl.aggregation, name), model(2, seed), batch(2)
    mtl.backward(losses(net, x, y), *parts(net), make())
    in_parts = flat([p.grad for p in net.parameters()])
    net.zero_grad()
    mtl.backward(losses(net, x, y), *parts(net), lambda J: make()(J))
    np.testing.assert_allclose(in_parts, flat([p.grad for p in net.parameters()]), rtol=1e-6, atol=1e-12)


class Undecided(mtl.aggregation.Weighted):
    """Weights that are none."""

    def weights(self, G: Any) -> Any:
        return np.full(len(G), np.nan)


@pytest.mark.parametrize("J", [np.ones((2, 3)), np.ones((2, 3), np.float32)])
def test_weights_that_are_not_finite_are_refused(J: Any) -> None:
    with pytest.raises(ValueError, match=r"Undecided: needs finite weights \(2,\), got \[nan nan\]"):
        Undecided()(J)


@pytest.mark.parametrize("aggregation", [mtl.aggregation.UPGrad(), lambda J: J.sum(axis=0)], ids=["in parts", "whole"])
def test_a_gradient_has_the_type_of_its_parameter(aggregation: Any) -> None:
    φ = [mm.randn(3).requires_grad_(), mm.randn(2).double().requires_grad_()]
    L = {k: (φ[0].double() ** n).sum() + n * φ[1].sum() for n, k in enumerate("ab", 1)}
    mtl.backward(L, φ, {}, aggregation)
    assert [p.grad.dtype.name for p in φ] == ["float32", "float64"]
    np.testing.assert_allclose(φ[1].grad.numpy()[0], φ[1].grad.numpy()[1])


def test_backward_adds_to_what_is_there_and_mixes_nothing_into_heads() -> None:
    net, (x, y) = model(), batch()
    φ, θ = parts(net)
    for times in (1, 2):
        mtl.backward(losses(net, x, y), φ, θ, lambda J: 10 * J[0])
        want = flat(mm.grad(losses(net, x, y)["a"], φ))
        np.testing.assert_allclose(flat([p.grad for p in φ]), times * 10 * want, rtol=1e-12)
        for k in y:
            np.testing.assert_allclose(
                flat([p.grad for p in θ[k]]), times * flat(mm.grad(losses(net, x, y)[k], θ[k])), rtol=1e-12
            )


def test_after_an_error_no_gradient_has_changed() -> None:
    net, (x, y) = model(), batch()

    def broken(J: Any) -> Any:
        raise ArithmeticError("no direction")

    with pytest.raises(ArithmeticError):
        mtl.backward(losses(net, x, y), *parts(net), broken)
    assert all(p.grad is None for p in net.parameters())


WRONG = {
    "long": lambda J: J.ravel(),
    "nan": lambda J: J[0] * np.nan,
    "type": lambda J: J[0].astype("f4"),
    "number": lambda J: 1.0,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_direction_is_refused_before_any_gradient_changes(wrong: Any) -> None:
    net, (x, y) = model(), batch()
    with pytest.raises(ValueError, match=r"must give a finite float64 \(44,\), got"):
        mtl.backward(losses(net, x, y), *parts(net), wrong)
    assert all(p.grad is None for p in net.parameters())


def test_a_run_begins_with_an_aggregation_that_remembers_nothing() -> None:
    vac, data = mtl.aggregation.GradVac(), batch()
    first, second = (after(model(), data, aggregation=vac) for _ in range(2))
    assert (first == second).all()


def test_frozen_parameters_and_unused_ones() -> None:
    net, (x, y) = model(), batch()
    net.shared[0].requires_grad_(False)
    seen: list[tuple[int, ...]] = []
    mtl.backward(losses(net, x, y), *parts(net), lambda J: seen.append(J.shape) or J.sum(axis=0))
    assert seen == [(2, 20)]
    assert net.shared[0].weight.grad is None
    L = {"a": (net.shared[2].weight ** 2).sum()}
    J = mtl.jacobian(L, [net.shared[2].weight, net.shared[2].bias])
    assert (J[0, 16:] == 0).all() and (J[0, :16] != 0).all()
    net.shared.requires_grad_(False)
    with pytest.raises(ValueError, match="no shared parameter requires a gradient"):
        mtl.backward(losses(net, x, y), *parts(net), lambda J: J.sum(axis=0))


# In the trainer


def trainer(net: mtl.HardSharing, lr: float = 0.1, **options: Any) -> mtl.Trainer:
    return mtl.Trainer(net, [mtl.Task(k, nn.MSELoss()) for k in net.heads], optim.SGD(net.parameters(), lr=lr), **options)


def after(net: mtl.HardSharing, data: Any, **options: Any) -> Any:
    """All parameters after a step."""
    trainer(net, **options).fit([data], verbose=False)
    return flat(net.parameters())


@pytest.mark.parametrize("at", ["parameters", "representation"])
def test_the_sum_of_gradients_is_the_gradient_of_the_sum(at: str) -> None:
    data = batch()
    joint = after(model(), data)
    np.testing.assert_allclose(after(model(), data, aggregation=lambda J: J.sum(axis=0), at=at), joint, rtol=1e-10)


def test_weights_scale_the_rows_and_the_heads_gradients() -> None:
    data, weighting = batch(), mtl.weighting.Fixed({"a": 3.0, "b": 0.5})
    joint = after(model(), data, weighting=weighting)
    mixed = after(model(), data, weighting=weighting, aggregation=lambda J: J.sum(axis=0))
    np.testing.assert_allclose(mixed, joint, rtol=1e-10)


def test_at_the_representation_the_jacobian_is_by_z_and_the_trunk_runs_once() -> None:
    net, (x, y) = model(), batch()
    seen, runs = [], []
    forward = net.shared.forward
    net.shared.__dict__["forward"] = lambda x: (runs.append(1), forward(x))[1]
    trainer(net, aggregation=lambda J: (seen.append(J.copy()), J[1])[1], at="representation").fit([(x, y)], verbose=False)
    assert (seen[0].shape, len(runs)) == ((2, 24), 1)
    z = mm.tensor(model().shared(x).numpy()).requires_grad_()
    for row, k in zip(seen[0], y):
        (g,) = mm.grad(F.mse_loss(model().heads[k](z), y[k]), [z])
        np.testing.assert_allclose(row, g.numpy().ravel(), rtol=1e-10)
    fresh = model()
    want = [
        p.numpy() - 0.1 * g.numpy()
        for p, g in zip(fresh.shared.parameters(), mm.grad(losses(fresh, x, y)["b"], parts(fresh)[0]))
    ]
    for p, w in zip(net.shared.parameters(), want):
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-10)


def test_penalties_are_added() -> None:
    data = batch()
    plain, net = after(model(), data), model()
    before = flat(net.parameters())
    penalty = lambda m: 0.5 * sum((p**2).sum() for p in m.parameters())  # noqa: E731
    np.testing.assert_allclose(after(net, data, penalties=[penalty]), plain - 0.1 * before, rtol=1e-10)
    mixed = after(model(), data, penalties=[penalty], aggregation=lambda J: J.sum(axis=0))
    np.testing.assert_allclose(mixed, plain - 0.1 * before, rtol=1e-10)


def test_a_penalty_that_is_not_finite_stops_before_anything_moves() -> None:
    net, data = model(), batch()
    before = flat(net.parameters()).copy()
    penalty = mtl.Penalty(lambda θ: sum((p * np.inf).sum() for p in θ), 1.0)
    with pytest.raises(FloatingPointError, match="the penalty 'Penalty' is .* at step 1"):
        trainer(net, penalties=[penalty]).fit([data], verbose=False)
    assert (flat(net.parameters()) == before).all()


def test_a_task_of_weight_0_does_not_stop_the_others() -> None:
    data, net = batch(), model()
    before = flat(net.shared.parameters()).copy()
    trainer(net, weighting=mtl.weighting.Fixed({"b": 0.0}), aggregation=mtl.aggregation.MGDA()).fit([data], verbose=False)
    assert (flat(net.shared.parameters()) != before).any()


class Plain(nn.Module):
    """A model that does not tell φ from θₖ."""

    def __init__(self) -> None:
        self.layer = nn.Linear(5, 2)

    def forward(self, x: mm.Tensor) -> dict[str, mm.Tensor]:
        return dict.fromkeys("ab", self.layer(x))


def test_what_an_aggregation_cannot_work_with_is_refused() -> None:
    tasks, plain, net = [mtl.Task(k, nn.MSELoss()) for k in "ab"], Plain(), model()
    rule = optim.SGD(plain.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"needs a model with \['shared_parameters', 'task_parameters'\]"):
        mtl.Trainer(plain, tasks, rule, aggregation=lambda J: J[0])
    with pytest.raises(ValueError, match="at must be 'parameters' or 'representation'"):
        trainer(net, at="z")
    with pytest.raises(ValueError, match="needs an aggregation"):
        trainer(net, at="representation")
    with pytest.raises(ValueError, match="needs inputs that all tasks have in common"):
        x, y = batch()
        trainer(net, aggregation=lambda J: J[0], at="representation").fit([({"a": x, "b": x}, y)], verbose=False)
    mtl.Trainer(plain, tasks, rule).fit([(mm.randn(3, 5), {k: mm.randn(3, 2) for k in "ab"})], verbose=False)
