"""What holds of gradients in multi-task and transfer models, and that the checks of it see where it does not."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import mtl, nn, optim
from minimtl.testing import (
    GradientError,
    check_delta,
    check_frozen,
    check_own_parameters,
    check_shared_parameters,
    gradcheck,
    gradcheck_module,
)
from minimtl.testing.strategies import modules, spaced

TASKS = ("digit", "parity", "pose")


def system(seed=0, dropout=0.0):
    """A trunk with normalisation under three heads, and the losses of a batch."""
    mm.manual_seed(seed)
    trunk = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout))
    model = mtl.HardSharing(trunk, {"digit": nn.Linear(8, 4), "parity": nn.Linear(8, 2), "pose": nn.Linear(8, 3)})
    x, y = mm.randn(6, 5), {"digit": mm.randint(4, (6,)), "parity": mm.randint(2, (6,)), "pose": mm.randn(6, 3)}
    loss = {"digit": F.cross_entropy, "parity": F.cross_entropy, "pose": F.mse_loss}

    def losses():
        ŷ = model(x)
        return {k: loss[k](ŷ[k], y[k]) for k in TASKS}

    return model, losses


def own(model):
    return {k: list(model.task_parameters(k)) for k in TASKS}


@given(
    st.integers(0, 2**16),
    st.sampled_from([0.0, 0.5]),
    st.lists(st.integers(0, 20).map(lambda n: n / 2), min_size=3, max_size=3),
)
def test_tasks_keep_apart_and_add_up(seed, dropout, weights):
    """∂Lⱼ/∂θₖ = 0 for j ≠ k, and ∂L/∂φ = Σₖ αₖ ∂Lₖ/∂φ."""
    model, losses = system(seed, dropout)
    check_own_parameters(losses, own(model))
    check_shared_parameters(losses, model.shared_parameters(), dict(zip(TASKS, weights, strict=True)))


@given(spaced((3, 2)), st.lists(st.integers(-10, 10).map(lambda n: n / 2), min_size=3, max_size=3))
def test_the_gradient_of_a_weighted_sum_is_the_weighted_sum_of_gradients(x, α):
    leaf = mm.Tensor(x.array, requires_grad=True)
    L = [(leaf**2).sum(), leaf.sin().sum(), leaf.softmax(1)[:, 0].sum()]
    (whole,) = mm.grad(α[0] * L[0] + α[1] * L[1] + α[2] * L[2], leaf, retain_graph=True)
    parts = [mm.grad(l, leaf, retain_graph=True)[0].array for l in L]
    np.testing.assert_allclose(whole.array, sum(a * g for a, g in zip(α, parts, strict=True)), rtol=1e-12, atol=1e-12)


def test_a_loss_that_reaches_into_another_head_is_found():
    model, losses = system()
    _, apart = model, losses
    mixed = {
        "mixed": lambda: {**apart(), "parity": apart()["parity"] + apart()["digit"]},
        "cut": lambda: {**apart(), "pose": mm.zeros(1, requires_grad=True).sum()},
    }
    with pytest.raises(GradientError, match="∂L_parity/∂θ_digit is not 0"):
        check_own_parameters(mixed["mixed"], own(model))
    with pytest.raises(GradientError, match="∂L_pose/∂θ_pose is 0"):
        check_own_parameters(mixed["cut"], own(model))
    with pytest.raises(GradientError, match="L_pose depends on nothing"):
        check_own_parameters(lambda: {**apart(), "pose": mm.zeros(())}, own(model))
    with pytest.raises(ValueError, match="there are losses of"):
        check_own_parameters(losses, {"depth": []})


@pytest.mark.parametrize(
    "total",
    [
        lambda L, α: L["digit"] + L["parity"] + L["pose"],  # weights forgotten
        lambda L, α: mtl.weighted_loss(L, α) / 3,
        lambda L, α: mtl.weighted_loss({**L, "pose": L["pose"].detach()}, α),
        lambda L, α: α["digit"] * L["digit"] ** 2 + α["parity"] * L["parity"] + α["pose"] * L["pose"],
    ],
)
def test_a_total_loss_that_is_no_weighted_sum_is_found(total):
    model, losses = system()
    α = {"digit": 1.0, "parity": 0.5, "pose": 2.0}
    with pytest.raises(GradientError, match="shared parameter 0"):
        check_shared_parameters(losses, model.shared_parameters(), α, total)
    check_shared_parameters(losses, model.shared_parameters(), α)


@given(modules())
def test_an_update_beside_the_parameters_walks_the_path_of_fine_tuning(drawn):
    module, x = drawn
    assume(any(True for _ in module.parameters()))
    before = {name: t.array.tobytes() for name, t in module.state_dict().items()}
    check_delta(module, lambda m: (m(x) ** 2).sum(), rtol=1e-9)
    assert before == {name: t.array.tobytes() for name, t in module.state_dict().items()}


def test_an_update_that_is_not_added_is_found():
    calls = iter(range(2))
    with pytest.raises(GradientError, match="∂L/∂θ′ is not ∂L/∂θ at weight"):
        check_delta(nn.Linear(3, 2), lambda m: m(mm.ones(4, 3)).sum() * (1.0 + next(calls)))


# Frozen


def training(model, losses, parameters):
    optimizer = optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)

    def step():
        optimizer.zero_grad()
        mtl.weighted_loss(losses(), dict.fromkeys(TASKS, 1.0)).backward()
        optimizer.step()

    return step


def test_frozen_bytes_are_fixed_and_gradients_pass_through():
    model, losses = system()
    frozen = model.shared[1]  # batch normalisation between two layers that are trained
    frozen.requires_grad_(False)
    frozen.eval()
    check_frozen(model, [frozen], training(model, losses, list(model.parameters())))


def test_what_moves_though_frozen_and_what_stays_though_trained_is_found():
    model, losses = system()
    model.shared[1].requires_grad_(False)
    with pytest.raises(GradientError, match="running_mean is frozen"):  # as in PyTorch: its statistics still move
        check_frozen(model, [model.shared[1]], training(model, losses, list(model.parameters())))
    model, losses = system()
    with pytest.raises(GradientError, match=r"heads.digit.bias is trained, and has not moved"):
        check_frozen(model, [model.heads["digit"].weight], training(model, losses, list(model.shared_parameters())))
    with pytest.raises(ValueError, match="must be parts of the model"):
        check_frozen(model, [nn.Linear(1, 1)], lambda: None)


@given(modules(), st.integers(0, 2**8))
def test_gradients_pass_through_frozen_layers_and_never_into_them(drawn, which):
    module, x = drawn
    layers = list(module.children())
    frozen = layers[which % len(layers)].requires_grad_(False)
    leaf = mm.Tensor(x.array, requires_grad=True)
    y = module(leaf)
    if not y.requires_grad:
        return
    y.backward(mm.ones_like(y))
    assert leaf.grad is not None
    assert all(p.grad is None for p in frozen.parameters())
    assert all(p.grad is not None for layer in layers if layer is not frozen for p in layer.parameters())


@given(modules())
def test_whole_modules(drawn):
    module, x = drawn
    report = gradcheck_module(module, x, raise_exception=False)
    assert report.verdict != "differs", str(report)


def test_a_model_with_several_heads_is_checked_as_a_whole():
    model, _ = system()
    report = gradcheck_module(model, mm.randn(6, 5), mode="full")
    assert report.measured == 3 * (sum(p.numel() for p in model.parameters()) + 30)
    assert gradcheck(lambda w: w.sum(), next(iter(model.parameters())))
