"""Optimisers and schedules: their formulas, who moves and who must not, and continuing from a saved state."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import nn, optim
from minimtl.optim import lr_scheduler as lrs

MAKERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "SGD nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "SGD dampening": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, maximize=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1, weight_decay=0.1),
    "RMSprop centered": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
}
every_optimiser = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def parameters(seed=0):
    g = mm.Generator(seed)
    return [nn.Parameter(mm.randn(*shape, generator=g)) for shape in ((2, 3), (3,), ())]


def give_gradients(params, seed):
    g = mm.Generator(seed)
    for p in params:
        p.grad = mm.randn(*p.shape, generator=g)


def run(optimizer, params, seeds):
    for seed in seeds:
        give_gradients(params, seed)
        optimizer.step()


def bytes_of(params):
    return [p.array.tobytes() for p in params]


# The formulas, for one number


def sgd(θ, gs, η, μ, λ, d, nesterov):
    for t, g in enumerate(gs):
        g += λ * θ
        b = g if t == 0 else μ * b + (1 - d) * g  # noqa: F821
        θ -= η * (g + μ * b if nesterov else b if μ else g)
    return θ


def adam(θ, gs, η, β1, β2, ε, λ, decoupled):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        if decoupled:
            θ -= η * λ * θ
        else:
            g += λ * θ
        m, v = β1 * m + (1 - β1) * g, β2 * v + (1 - β2) * g**2
        θ -= η * (m / (1 - β1**t)) / (math.sqrt(v / (1 - β2**t)) + ε)
    return θ


def rmsprop(θ, gs, η, α, ε, λ, μ, centered):
    v = a = b = 0.0
    for g in gs:
        g += λ * θ
        v, a = α * v + (1 - α) * g**2, α * a + (1 - α) * g
        b = μ * b + g / (math.sqrt(v - a**2 if centered else v) + ε)
        θ -= η * b
    return θ


small = st.floats(0, 0.9)
gradients = st.lists(st.floats(-3, 3), min_size=1, max_size=8)


@given(st.floats(-3, 3), gradients, st.data())
def test_each_rule_is_its_formula(start, gs, data):
    p = mm.tensor(start, dtype="float64", requires_grad=True)
    η, λ, μ, β = (data.draw(small, name) for name in ("η", "λ", "μ", "β"))
    which, flag = data.draw(st.sampled_from(["SGD", "Adam", "AdamW", "RMSprop"])), data.draw(st.booleans())
    if which == "SGD":
        flag = flag and μ > 0
        d = 0.0 if flag else β
        opt, expected = optim.SGD([p], η, μ, d, λ, flag), sgd(start, gs, η, μ, λ, d, flag)
    elif which == "RMSprop":
        opt, expected = optim.RMSprop([p], η, 0.9, 0.1, λ, β, False), rmsprop(start, gs, η, 0.9, 0.1, λ, β, False)
    else:
        make = optim.AdamW if which == "AdamW" else optim.Adam
        opt, expected = make([p], η, (β, μ), 0.1, λ), adam(start, gs, η, β, μ, 0.1, λ, which == "AdamW")
    for g in gs:
        p.grad = mm.tensor(g, dtype="float64")
        opt.step()
    assert p.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_steady_gradient_leaves_centered_rmsprop_finite():
    """v − a² → 0: rounding must not take it below."""
    p = mm.zeros(64, requires_grad=True)
    optimizer = optim.RMSprop([p], lr=1e-6, alpha=0.9, centered=True)
    steady = mm.rand(64, generator=mm.Generator(0)) * 100
    for _ in range(400):
        p.grad = steady
        optimizer.step()
    assert np.isfinite(p.numpy()).all()


# Who moves


@every_optimiser
def test_what_is_frozen_or_has_no_gradient_never_moves(make):
    params = parameters()
    optimizer = make(params)
    run(optimizer, params, range(3))  # momentum and averages exist
    _, frozen, idle = params
    before, state = bytes_of(params), [{k: np.copy(v) for k, v in optimizer.state[p].items()} for p in (frozen, idle)]
    frozen.requires_grad_(False)
    for seed in range(3):
        give_gradients(params, seed)
        idle.grad = None
        optimizer.step()
    after = bytes_of(params)
    assert after[0] != before[0]
    assert after[1:] == before[1:]
    for p, old in zip((frozen, idle), state, strict=True):
        assert all(np.array_equal(optimizer.state[p][k], v) for k, v in old.items())
    frozen.requires_grad_(True)
    optimizer.step()
    assert bytes_of(params)[1] != before[1]


@every_optimiser
def test_a_step_writes_to_no_gradient_and_keeps_dtype_and_memory(make):
    params = parameters()
    optimizer, memory = make(params), [p.array for p in params]
    for seed in range(3):
        give_gradients(params, seed)
        grads, before = [p.grad for p in params], [p.grad.array.tobytes() for p in params]
        optimizer.step()
        assert [p.grad for p in params] == grads
        assert [g.array.tobytes() for g in grads] == before
    assert all(p.array is array and p.dtype == mm.float32 for p, array in zip(params, memory, strict=True))
    assert all(v.dtype == mm.float32 for s in optimizer.state.values() for v in s.values() if isinstance(v, np.ndarray))


def test_groups_have_options_of_their_own():
    a, b, c = parameters()
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.0}], lr=0.5)
    optimizer.add_param_group({"params": [c], "lr": 1.0, "weight_decay": 0.5})
    before = [p.array.copy() for p in (a, b, c)]
    for p in (a, b, c):
        p.grad = mm.ones_like(p)
    optimizer.step()
    np.testing.assert_allclose(a.numpy(), before[0] - 0.5, rtol=1e-6)
    np.testing.assert_allclose(b.numpy(), before[1])
    np.testing.assert_allclose(c.numpy(), before[2] - 1 - 0.5 * before[2], rtol=1e-6)
    optimizer.zero_grad(set_to_none=False)
    assert [p.grad.any().item() for p in (a, b, c)] == [False] * 3
    optimizer.zero_grad()
    assert [p.grad for p in (a, b, c)] == [None] * 3


def test_a_closure_is_called_with_recording_on():
    (p,) = parameters()[1:2]
    optimizer = optim.SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > (p * p).sum().item()


# Saving


@every_optimiser
def test_a_saved_optimiser_continues_bit_for_bit(make):
    params, others = parameters(), parameters()
    optimizer, other = make(params), make(others)
    run(optimizer, params, range(4))
    state = optimizer.state_dict()
    saved = {i: {k: mm.tensor(v).tolist() for k, v in s.items()} for i, s in state["state"].items()}
    for p, q in zip(params, others, strict=True):
        q.detach().copy_(p.detach())
    run(optimizer, params, range(4, 8))
    assert {i: {k: mm.tensor(v).tolist() for k, v in s.items()} for i, s in state["state"].items()} == saved  # a copy
    other.load_state_dict(state)
    run(other, others, range(4, 8))
    assert bytes_of(others) == bytes_of(params)
    assert str(other) == str(optimizer)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s.pop("state"),
        lambda s: s["param_groups"].append(s["param_groups"][0]),
        lambda s: s["param_groups"][0].update(params=[0, 1]),
        lambda s: s["param_groups"][0].pop("betas"),
        lambda s: s["param_groups"][0].update(nesterov=True),
        lambda s: s["state"].update({7: {}}),
        lambda s: s["state"][0].update(exp_avg=mm.ones(5)),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(spoil):
    params, others = parameters(), parameters()
    optimizer, same = optim.Adam(params), optim.Adam(others)
    run(optimizer, params, range(2))
    run(same, others, range(2))
    state = optimizer.state_dict()
    spoil(state)
    with pytest.raises(ValueError, match="Adam: "):
        optimizer.load_state_dict(state)
    run(optimizer, params, range(2, 4))
    run(same, others, range(2, 4))
    assert bytes_of(params) == bytes_of(others)


# What is refused


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=-1),
        lambda p: optim.SGD(p, lr="fast"),
        lambda p: optim.SGD(p, lr=math.nan),
        lambda p: optim.SGD(p, momentum=-0.1),
        lambda p: optim.SGD(p, weight_decay=None),
        lambda p: optim.SGD(p, nesterov=True),
        lambda p: optim.SGD(p, momentum=0.9, dampening=0.1, nesterov=True),
        lambda p: optim.Adam(p, betas=(0.9, 1.0)),
        lambda p: optim.Adam(p, betas=(0.9,)),
        lambda p: optim.Adam(p, betas=0.9),
        lambda p: optim.AdamW(p, eps=-1e-8),
        lambda p: optim.RMSprop(p, alpha=-0.1),
        lambda p: optim.SGD([]),
        lambda p: optim.SGD(p[0]),
        lambda p: optim.SGD([*p, p[0]]),
        lambda p: optim.SGD([{"params": p}, {"params": p[:1]}]),
        lambda p: optim.SGD([{"params": p, "learning_rate": 0.1}]),
        lambda p: optim.SGD([{"params": p, "lr": -0.1}]),
        lambda p: optim.SGD([{"lr": 0.1}]),
        lambda p: optim.SGD([{"params": p[:1]}, p[1]]),
        lambda p: optim.SGD([p[0] * 2]),
        lambda p: optim.SGD(["weight"]),
    ],
)
def test_bad_options_are_refused_by_name(make):
    with pytest.raises((ValueError, TypeError), match=r"^(SGD|Adam|AdamW|RMSprop): "):
        make(parameters())


@pytest.mark.parametrize("grad", [mm.ones(1), mm.ones(3, dtype="float64")])
def test_a_gradient_of_another_form_is_refused_before_anything_moves(grad):
    params = parameters()
    give_gradients(params, 0)
    params[1].grad = grad
    before = bytes_of(params)
    with pytest.raises(ValueError, match=r"SGD: a gradient of .* for a parameter of float32 \(3,\)"):
        optim.SGD(params, lr=0.1).step()
    assert bytes_of(params) == before


# Schedules and clipping


SCHEDULES = {
    "LambdaLR": (lambda o: lrs.LambdaLR(o, lambda t: 1 / (1 + t)), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
    "StepLR": (lambda o: lrs.StepLR(o, 2, 0.5), [1, 1, 0.5, 0.5, 0.25]),
    "MultiStepLR": (lambda o: lrs.MultiStepLR(o, [3, 1], 0.5), [1, 0.5, 0.5, 0.25, 0.25]),
    "CosineAnnealingLR": (lambda o: lrs.CosineAnnealingLR(o, 4), [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0]),
    "LinearLR": (lambda o: lrs.LinearLR(o, 0.5, 1.0, 2), [0.5, 0.75, 1, 1, 1]),
    "ReduceLROnPlateau": (lambda o: lrs.ReduceLROnPlateau(o, factor=0.5, patience=1), [1, 1, 1, 0.5, 0.5]),
}


@pytest.mark.parametrize(("make", "rates"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_schedules_follow_their_formula_and_continue_when_saved(make, rates):
    params = parameters()
    optimizer = optim.SGD([{"params": params[:2]}, {"params": params[2], "lr": 10.0}], lr=1.0)
    schedule, found = make(optimizer), []
    for step in range(5):
        found.append(schedule.get_last_lr())
        if step == 2:  # go on with new objects
            old, saved = optimizer.state_dict(), schedule.state_dict()
            optimizer = optim.SGD([{"params": params[:2]}, {"params": params[2], "lr": 7.0}], lr=3.0)
            schedule = make(optimizer)
            optimizer.load_state_dict(old)
            schedule.load_state_dict(saved)
        schedule.step(*[1.0] * ("Plateau" in type(schedule).__name__))
    np.testing.assert_allclose(found, [[r, 10 * r] for r in rates], atol=1e-12)
    with pytest.raises(ValueError, match="the state must hold"):
        schedule.load_state_dict({"last_epoch": 3})


def test_a_schedule_does_not_know_groups_that_come_later():
    a, b, _ = parameters()
    optimizer = optim.SGD([a], lr=1.0)
    schedule = lrs.StepLR(optimizer, 1)
    optimizer.add_param_group({"params": b})
    with pytest.raises(RuntimeError, match="StepLR: made for 1 groups, the optimiser has 2"):
        schedule.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lrs.StepLR(o, 0),
        lambda o: lrs.CosineAnnealingLR(o, 0),
        lambda o: lrs.LinearLR(o, start_factor=0.0),
        lambda o: lrs.LinearLR(o, total_iters=0),
        lambda o: lrs.ReduceLROnPlateau(o, mode="best"),
        lambda o: lrs.ReduceLROnPlateau(o, factor=1.0),
        lambda o: lrs.ReduceLROnPlateau(o, threshold_mode="relative"),
        lambda o: lrs.ReduceLROnPlateau(o, min_lr=[0.1, 0.1]),
    ],
)
def test_bad_schedules_are_refused_and_leave_the_rate(make):
    optimizer = optim.SGD(parameters(), lr=1.0)
    with pytest.raises(ValueError, match=r"^\w+: "):
        make(optimizer)
    assert optimizer.param_groups[0]["lr"] == 1.0


@given(st.integers(0, 99), st.floats(0.01, 10), st.sampled_from([1.0, 2.0, math.inf]))
def test_clipping_by_norm_shortens_to_the_limit_and_keeps_the_direction(seed, limit, p):
    params = [*parameters(), nn.Parameter(mm.ones(2))]
    give_gradients(params[:3], seed)
    grads = [q.grad for q in params[:3]]
    whole = np.concatenate([g.array.reshape(-1) for g in grads])
    total = nn.utils.clip_grad_norm_(params, limit, p).item()
    assert total == pytest.approx(np.linalg.norm(whole, p), rel=1e-5)
    clipped = np.concatenate([q.grad.array.reshape(-1) for q in params[:3]])
    np.testing.assert_allclose(clipped, whole * min(1, limit / total), rtol=1e-4)
    assert params[3].grad is None
    assert np.array_equal(np.concatenate([g.array.reshape(-1) for g in grads]), whole)  # bound anew, not written to
