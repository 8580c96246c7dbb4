"""Classes of different size; and one student with several teachers."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import data, mtl, nn, optim, testing
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
            found = mtl.FocalLoss(0.0, weight, reduction=reduction)(x, mm.tensor(y)).numpy()
            np.testing.assert_allclose(found, F.cross_entropy(x, mm.tensor(y), weight, reduction=reduction).numpy(), rtol=1e-6)


def test_focal_loss_by_its_formula_and_its_gradient() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.integers(0, 3, 5)
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    want = np.mean([-((1 - p[i, c]) ** 2) * math.log(p[i, c]) for i, c in enumerate(y)])
    assert mtl.FocalLoss(2.0)(mm.tensor(x), mm.tensor(y)).item() == pytest.approx(want)
    testing.gradcheck(lambda x: mtl.FocalLoss(0.5)(x, mm.tensor(y)), mm.tensor(x))
    sure = mm.tensor([[60.0, 0.0]]).requires_grad_()
    mtl.FocalLoss(0.5)(sure, mm.tensor([0])).backward()
    assert np.isfinite(sure.grad.numpy()).all()


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
        (lambda: data.WeightedRandomSampler([0.0], 1), "not all 0"),
        (lambda: data.WeightedRandomSampler([1.0], 0), "at least 1"),
        (lambda: data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False), "1 samples do not give 2"),
        (lambda: mtl.distilled(nn.MSELoss(), temperature=0), "temperature > 0"),
        (
            lambda: mtl.Distillation(student(), {"c": nn.Linear(3, 2)}),
            r"teachers of tasks of the student, \['a', 'b'\], got \['c'\]",
        ),
    ],
)
def test_what_means_nothing_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


# Distillation


def student() -> mtl.HardSharing:
    mm.manual_seed(0)
    return mtl.HardSharing(nn.Sequential(nn.Linear(3, 8), nn.Tanh()), {"a": nn.Linear(8, 2), "b": nn.Linear(8, 1)})


def teacher() -> nn.Module:
    mm.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 2))


def test_a_student_learns_what_its_teacher_says_and_the_teacher_stays() -> None:
    """Labels are noise; the teacher's word is all there is to learn."""
    wise = teacher()
    before = {k: v.numpy().copy() for k, v in wise.state_dict().items()}
    model = mtl.Distillation(student(), {"a": wise})
    tasks = [
        mtl.Task("a", mtl.distilled(nn.CrossEntropyLoss(), weight=1.0), metrics=["accuracy"]),
        mtl.Task("b", mtl.distilled(nn.MSELoss(), classes=False)),
    ]
    x = mm.randn(256, 3)
    y = {"a": mm.randint(2, (256,)), "b": x[:, :1].detach()}
    trainer = mtl.Trainer(model, tasks, optim.Adam(model.parameters(), lr=0.02), aggregation=mtl.aggregation.PCGrad())
    trainer.fit([(x, y)] * 100, verbose=False)
    said, learnt = wise(x).argmax(dim=1), model.eval()(x)["a"].argmax(dim=1)
    assert (said == learnt).float().mean().item() > 0.9
    assert all((v.numpy() == before[k]).all() for k, v in wise.state_dict().items())
    assert set(model.state_dict()) == {f"student.{k}" for k in model.student.state_dict()}
    assert not wise.training and all(p.grad is None for p in wise.parameters())


@given(seeds, st.floats(0.5, 5))
def test_soft_targets_are_hintons(seed: int, T: float) -> None:
    s, t = np.random.default_rng(seed).standard_normal((2, 4, 3))
    p, q = (np.exp(v / T) / np.exp(v / T).sum(axis=1, keepdims=True) for v in (s, t))
    want = T * T * (q * np.log(q / p)).sum(axis=1).mean()
    both = mtl.distilled(nn.CrossEntropyLoss(), temperature=T, weight=1.0)
    assert both(mtl.Taught(mm.tensor(s), mm.tensor(t)), mm.tensor([0] * 4)).item() == pytest.approx(want, abs=1e-9)
    assert both(mtl.Taught(mm.tensor(s), mm.tensor(s)), mm.tensor([0] * 4)).item() == pytest.approx(0, abs=1e-9)


def test_labels_and_teacher_are_mixed_and_missing_ones_left_out() -> None:
    loss = mtl.distilled(nn.MSELoss(), weight=0.25, classes=False)
    taught = mtl.Taught(mm.tensor([[1.0], [5.0]]), mm.tensor([[3.0], [0.0]]))
    task = mtl.Task("b", loss, missing=math.nan)
    output, y = task.labelled(taught, mm.tensor([[2.0], [math.nan]]))
    assert loss(output, y).item() == pytest.approx(0.75 * 1 + 0.25 * 4)


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distillation without T²."""
    real = mtl.distillation.soft_targets
    monkeypatch.setattr("minimtl.mtl.distillation.soft_targets", lambda s, t, T: real(s, t, T) / (T * T))
    with pytest.raises(AssertionError):
        test_soft_targets_are_hintons.hypothesis.inner_test(0, 3.0)
