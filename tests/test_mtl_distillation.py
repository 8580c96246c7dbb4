"""One student with a teacher for each task."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim

seeds = st.integers(0, 2**32 - 1)


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


def test_a_teacher_stays_as_it_is_whatever_mode_it_was_left_in() -> None:
    """Its batch norm would move, and its dropout speak at random."""
    wise = teacher()
    model = mtl.Distillation(student(), {"a": wise}).train()
    before = {k: v.numpy().copy() for k, v in wise.state_dict().items()}
    x = mm.randn(6, 3)
    wise.train()
    first, again = (model(x)["a"].teacher for _ in range(2))
    assert (first.numpy() == again.numpy()).all() and not first.requires_grad
    assert all((v.numpy() == before[k]).all() for k, v in wise.state_dict().items())
    assert set(model.parameters()) == set(model.student.parameters())
    assert isinstance(model(x)["b"], mm.Tensor)  # has no teacher
    assert isinstance(model.eval()(x)["a"], mm.Tensor)


def test_the_gradient_of_soft_targets_is_of_one_size_for_every_temperature() -> None:
    """∂/∂s T² KL(q ‖ p) = T (p − q)/N, Hinton et al. 2015"""
    s, t = np.random.default_rng(0).standard_normal((2, 4, 3))
    for T in (1.0, 3.0, 20.0):
        x = mm.tensor(s).requires_grad_()
        taught = mtl.Taught(x, mm.tensor(t))
        mtl.distilled(nn.CrossEntropyLoss(), temperature=T, weight=1.0)(taught, mm.tensor([0] * 4)).backward()
        p, q = (np.exp(v / T) / np.exp(v / T).sum(axis=1, keepdims=True) for v in (s, t))
        np.testing.assert_allclose(x.grad.numpy(), T * (p - q) / 4, rtol=1e-9, atol=1e-12)


def test_a_plain_output_is_given_to_the_loss_itself() -> None:
    x, y = mm.randn(4, 3), mm.tensor([0, 2, 1, 1])
    assert mtl.distilled(nn.CrossEntropyLoss())(x, y).item() == nn.CrossEntropyLoss()(x, y).item()


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"outputs are \(N, C\), C > 1, got \(4, 1\)"):
        mtl.distilled(nn.MSELoss())(mtl.Taught(mm.randn(4, 1), mm.randn(4, 1)), mm.randn(4, 1))
    with pytest.raises(ValueError, match="temperature > 0"):
        mtl.distilled(nn.MSELoss(), temperature=0)
    with pytest.raises(ValueError, match=r"weight in \[0, 1\]"):
        mtl.distilled(nn.MSELoss(), weight=1.5)
    with pytest.raises(ValueError, match=r"teachers of tasks of the student, \['a', 'b'\], got \['c'\]"):
        mtl.Distillation(student(), {"c": nn.Linear(3, 2)})


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distillation without T²."""
    real = mtl.distillation.soft_targets
    monkeypatch.setattr("minimtl.mtl.distillation.soft_targets", lambda s, t, T: real(s, t, T) / (T * T))
    with pytest.raises(AssertionError):
        test_soft_targets_are_hintons.hypothesis.inner_test(0, 3.0)
