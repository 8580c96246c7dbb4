"""Classes of different size: weights, a loss that looks at what is hard, and re-sampling."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import data, mtl, testing
from minimtl.data import DataLoader, TensorDataset

seeds = st.integers(0, 2**32 - 1)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=5))
def test_weighted_classes_count_alike(n: list[int]) -> None:
    labels = np.repeat(np.arange(len(n)), n)
    w = mtl.class_weights(mm.tensor(labels), len(n)).numpy()
    np.testing.assert_allclose(w * n, sum(n) / len(n), rtol=1e-6)
    assert w[labels].mean() == pytest.approx(1, rel=1e-6)


@given(seeds)
def test_focal_loss_without_focus_is_cross_entropy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = mm.tensor(rng.standard_normal((6, 4, 3))), rng.integers(0, 4, (6, 3))
    y[0, 0] = -100
    w = mm.tensor(rng.random(4) + 0.1)
    for weight in (None, w):
        for reduction in ("mean", "sum", "none"):
            a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
            found = mtl.FocalLoss(0.0, weight, reduction=reduction)(a, mm.tensor(y))
            wanted = F.cross_entropy(b, mm.tensor(y), weight, reduction=reduction)
            np.testing.assert_array_equal(found.numpy(), wanted.numpy())
            found.sum().backward()
            wanted.sum().backward()
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_focal_loss_by_its_formula_and_its_gradient() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.integers(0, 3, 5)
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    want = np.mean([-((1 - p[i, c]) ** 2) * math.log(p[i, c]) for i, c in enumerate(y)])
    assert mtl.FocalLoss(2.0)(mm.tensor(x), mm.tensor(y)).item() == pytest.approx(want)
    testing.gradcheck(lambda x: mtl.FocalLoss(0.5)(x, mm.tensor(y)), mm.tensor(x))


@pytest.mark.parametrize("γ", [0.5, 1.0, 2.0])
def test_focal_loss_of_what_is_nearly_certain(γ: float) -> None:
    """1 − p is not the difference of two numbers of nearly one size; at p = 1 loss and gradient are 0."""
    x = mm.tensor(np.array([[20.0, 0.0]])).requires_grad_()
    loss = mtl.FocalLoss(γ)(x, mm.tensor([0]))
    loss.backward()
    q = math.exp(-20) / (1 + math.exp(-20))  # 1 − p
    assert loss.item() == pytest.approx(q**γ * math.log1p(math.exp(-20)), rel=1e-6)
    assert x.grad.numpy()[0] == pytest.approx(np.array([-1, 1]) * (1 + γ) * q ** (γ + 1), rel=1e-6)
    certain = mm.tensor([[200.0, 0.0]]).requires_grad_()
    mtl.FocalLoss(γ)(certain, mm.tensor([0])).backward()
    assert (certain.grad.numpy() == 0).all()


def test_focal_loss_of_pixels_is_that_of_samples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    y[0, 1] = -100
    loss = mtl.FocalLoss(1.5, mm.tensor([0.5, 1.0, 2.0], dtype=mm.float64))
    flat = loss(mm.tensor(x.transpose(0, 2, 3, 1).reshape(-1, 3)), mm.tensor(y.ravel())).item()
    assert loss(mm.tensor(x), mm.tensor(y)).item() == pytest.approx(flat)
    assert loss(mm.tensor(x), mm.tensor(y)).dtype == mm.float64
    assert mtl.FocalLoss(1.5)(mm.tensor(x).float(), mm.tensor(y)).dtype == mm.float32
    assert math.isnan(loss(mm.tensor(x), mm.tensor(np.full_like(y, -100))).item())  # as cross-entropy's mean of nothing


def test_balanced_weights_sum_to_the_same_in_each_class() -> None:
    w = mtl.balanced(np.array([0, 0, 0, 2, -100]))
    np.testing.assert_allclose(w, [1 / 3, 1 / 3, 1 / 3, 1, 0])


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that looks at what is right already: p^γ in the place of (1 − p)^γ."""
    real = np.expm1
    monkeypatch.setattr("minimtl.mtl.imbalance.np.expm1", lambda a: -1 - real(a))
    with pytest.raises(AssertionError):
        test_focal_loss_by_its_formula_and_its_gradient()


def test_a_balanced_sampler_draws_classes_equally_often() -> None:
    labels = mm.tensor([0] * 90 + [1] * 9 + [-100])
    sampler = data.WeightedRandomSampler(mtl.balanced(labels), 4000, generator=mm.Generator(0))
    drawn = labels.numpy()[list(sampler)]
    assert abs((drawn == 1).mean() - 0.5) < 6 * 0.5 / math.sqrt(4000)
    assert (drawn >= 0).all()


def test_a_loader_takes_its_order_from_a_sampler() -> None:
    dataset = TensorDataset(mm.arange(10))
    loader = DataLoader(dataset, 3, sampler=[7, 1, 1, 4])
    assert [x.tolist() for (x,) in loader] == [[7, 1, 1], [4]]
    assert len(loader) == 2
    once = data.WeightedRandomSampler(np.arange(10), 9, replacement=False, generator=mm.Generator(0))
    assert sorted(once) == list(range(1, 10))
    with pytest.raises(ValueError, match="excludes shuffle"):
        DataLoader(dataset, 3, shuffle=True, sampler=[1])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mtl.class_weights(np.array([0, 0]), 2), r"classes \[1\] have no sample"),
        (lambda: mtl.class_weights(np.array([0, 2]), 2), "integer labels"),
        (lambda: mtl.FocalLoss(-1), "gamma must not be negative"),
        (lambda: mtl.FocalLoss(reduction="x"), "reduction must be"),
        (lambda: mtl.FocalLoss(weight=mm.ones(2))(mm.ones(1, 3), mm.tensor([2])), r"weight must have shape \(3,\)"),
        (lambda: data.WeightedRandomSampler([0.0], 1), "not all 0"),
        (lambda: data.WeightedRandomSampler([1.0], 0), "at least 1"),
        (lambda: data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False), "1 samples do not give 2"),
    ],
)
def test_what_means_nothing_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
