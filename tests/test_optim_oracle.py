"""Optimisers, schedules and clipping beside PyTorch's, with the same gradients."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minimtl as mm
from minimtl import nn, optim

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
torch.set_num_threads(1)
ignore_order = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")

SHAPES = [(3, 4), (5,), (), (0, 2)]
RULES = {
    "SGD": ("SGD", {}),
    "SGD lr": ("SGD", {"lr": 0.1}),
    "SGD decay": ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    "SGD momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "SGD momentum decay": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2}),
    "SGD dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.2}),
    "SGD nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
    "SGD maximize": ("SGD", {"lr": 0.1, "momentum": 0.9, "maximize": True, "weight_decay": 0.2}),
    "Adam": ("Adam", {}),
    "Adam options": ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.2}),
    "Adam zero betas": ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    "AdamW": ("AdamW", {}),
    "AdamW options": ("AdamW", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.2}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop options": ("RMSprop", {"lr": 0.1, "alpha": 0.9, "eps": 0.1, "weight_decay": 0.2}),
    "RMSprop momentum": ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
    "RMSprop centered": ("RMSprop", {"lr": 0.02, "momentum": 0.9, "centered": True, "weight_decay": 0.2}),
}
every_rule = pytest.mark.parametrize(("name", "options"), RULES.values(), ids=RULES.keys())


class Pair:
    """The same parameters in both, which get the same gradients."""

    def __init__(self, dtype="float64", seed=0):
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        starts = [self.rng.normal(size=shape).astype(dtype) for shape in SHAPES]
        self.ours = [nn.Parameter(mm.tensor(a)) for a in starts]
        self.theirs = [torch.nn.Parameter(torch.tensor(a)) for a in starts]

    def give_gradients(self, idle=()):
        for i, (p, q) in enumerate(zip(self.ours, self.theirs, strict=True)):
            g = np.asarray(self.rng.normal(size=p.shape), self.dtype)
            p.grad, q.grad = (None, None) if i in idle else (mm.tensor(g), torch.tensor(g))

    def agree(self, tolerance):
        for p, q in zip(self.ours, self.theirs, strict=True):
            assert p.dtype == self.dtype
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@every_rule
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)])
def test_20_steps_end_at_the_same_numbers(name, options, dtype, tolerance):
    pair = Pair(dtype)
    ours, theirs = getattr(optim, name)(pair.ours, **options), getattr(torch.optim, name)(pair.theirs, **options)
    for step in range(20):
        pair.give_gradients(idle=[1] if step % 4 == 0 else [])
        ours.step()
        theirs.step()
        pair.agree(tolerance)


@every_rule
def test_groups_added_parameters_and_a_saved_state(name, options):
    pair = Pair()
    libraries = (optim, pair.ours), (torch.optim, pair.theirs)
    made = []
    for library, params in libraries:
        rule = getattr(library, name)
        made.append(rule([{"params": params[:1]}, {"params": [params[1]], "lr": 0.3, "weight_decay": 0.5}], **options))
    for step in range(12):
        if step == 4:
            for optimizer, (_, params) in zip(made, libraries, strict=True):
                optimizer.add_param_group({"params": params[2:], "lr": 0.05})
        if step == 8:  # go on with new objects, whose own options are others
            for i, (library, params) in enumerate(libraries):
                groups = [{"params": params[:1]}, {"params": [params[1]]}, {"params": params[2:]}]
                again = getattr(library, name)(groups, lr=7.0)
                again.load_state_dict(made[i].state_dict())
                made[i] = again
        pair.give_gradients()
        for optimizer in made:
            optimizer.step()
        pair.agree(1e-12)
    ours, theirs = (optimizer.state_dict() for optimizer in made)
    assert [g["params"] for g in ours["param_groups"]] == [g["params"] for g in theirs["param_groups"]]
    assert [g["lr"] for g in ours["param_groups"]] == [g["lr"] for g in theirs["param_groups"]]
    for i, state in theirs["state"].items():
        for key in set(state) & set(ours["state"][i]):
            if state[key] is not None:
                np.testing.assert_allclose(mm.tensor(ours["state"][i][key]).numpy(), np.asarray(state[key]), atol=1e-12)


SCHEDULES = {
    "LambdaLR": ("LambdaLR", {"lr_lambda": lambda t: 0.95**t + 0.01 * t}),
    "StepLR": ("StepLR", {"step_size": 7}),
    "StepLR slow": ("StepLR", {"step_size": 1, "gamma": 0.97}),
    "MultiStepLR": ("MultiStepLR", {"milestones": [30, 5, 5, 41], "gamma": 0.3}),
    "CosineAnnealingLR": ("CosineAnnealingLR", {"T_max": 50}),
    "CosineAnnealingLR waves": ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.01}),
    "LinearLR": ("LinearLR", {}),
    "LinearLR warm-up": ("LinearLR", {"start_factor": 0.01, "total_iters": 20}),
    "LinearLR down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 45}),
}


def sgds(pair=None):
    pair = pair or Pair()
    return [
        library.SGD([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}], lr=0.1)
        for library, params in ((optim, pair.ours), (torch.optim, pair.theirs))
    ]


def rates(schedules):
    return [schedule.get_last_lr() for schedule in schedules]


@ignore_order
@pytest.mark.parametrize(("name", "options"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_50_steps_of_a_schedule_with_two_groups_saved_and_restored(name, options):
    optimizers = sgds()
    schedules = [
        getattr(library.lr_scheduler, name)(optimizer, **options)
        for library, optimizer in zip((optim, torch.optim), optimizers, strict=True)
    ]
    for step in range(50):
        np.testing.assert_allclose(*rates(schedules), rtol=1e-9, atol=1e-12)
        assert [g["lr"] for g in optimizers[0].param_groups] == schedules[0].get_last_lr()
        if step == 23:
            states = [(o.state_dict(), s.state_dict()) for o, s in zip(optimizers, schedules, strict=True)]
            optimizers = sgds()
            schedules = [
                getattr(library.lr_scheduler, name)(optimizer, **options)
                for library, optimizer in zip((optim, torch.optim), optimizers, strict=True)
            ]
            for optimizer, schedule, (o, s) in zip(optimizers, schedules, states, strict=True):
                optimizer.load_state_dict(o)
                schedule.load_state_dict(s)
        for schedule in schedules:
            schedule.step()


metric = st.floats(-1, 2) | st.sampled_from([0.5, 0.5001, 0.49, math.nan, math.inf])


@ignore_order
@settings(deadline=None)
@given(
    st.lists(metric, min_size=50, max_size=50),
    st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.sampled_from([0.1, 0.5, 0.9]),
            "patience": st.integers(0, 3),
            "threshold": st.sampled_from([0.0, 1e-4, 0.1]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0.0, 0.02, 0.3, [0.05, 0.2]]),
            "eps": st.sampled_from([1e-8, 0.04]),
        }
    ),
)
def test_plateau(values, options):
    optimizers = sgds()
    schedules = [
        library.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        for library, optimizer in zip((optim, torch.optim), optimizers, strict=True)
    ]
    for value in values:
        for schedule in schedules:
            schedule.step(value)
        np.testing.assert_allclose(*rates(schedules), rtol=1e-12)


def test_plateau_takes_its_options_in_the_same_order():
    optimizers = sgds()
    for library, optimizer in zip((optim, torch.optim), optimizers, strict=True):
        schedule = library.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, 0, 0.25, "abs", 1, 0.03, 1e-3)
        for value in (1.0, 1.2, 1.2, 1.2, 1.5, 0.0, 0.0, 0.0):
            schedule.step(mm.tensor(value) if library is optim else torch.tensor(value))
    assert [g["lr"] for g in optimizers[0].param_groups] == [g["lr"] for g in optimizers[1].param_groups]


@settings(deadline=None)
@given(
    st.integers(0, 99),
    st.sampled_from([0.0, 0.1, 1.0, 100.0]),
    st.sampled_from([1.0, 2.0, 3.0, math.inf]),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from([None, math.nan, math.inf]),
)
def test_clipping(seed, limit, norm_type, dtype, odd):
    for clip in ("clip_grad_norm_", "clip_grad_value_"):
        pair = Pair(dtype, seed)
        pair.give_gradients(idle=[2, 3])
        if odd is not None:
            pair.ours[0].grad[0, 0] = odd
            pair.theirs[0].grad[0, 0] = odd
        options = {"norm_type": norm_type} if clip == "clip_grad_norm_" else {}
        total = getattr(nn.utils, clip)(pair.ours, limit, **options)
        expected = getattr(torch.nn.utils, clip)(pair.theirs, limit, **options)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        if expected is not None:
            assert total.dtype == dtype
            np.testing.assert_allclose(total.numpy(), expected.numpy(), rtol=tolerance)
        for p, q in zip(pair.ours, pair.theirs, strict=True):
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None:
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=tolerance, atol=tolerance)


def test_clipping_nothing_and_one_tensor():
    pair = Pair()
    assert nn.utils.clip_grad_norm_(pair.ours, 1.0).item() == torch.nn.utils.clip_grad_norm_(pair.theirs, 1.0).item() == 0
    pair.give_gradients()
    ours, theirs = nn.utils.clip_grad_norm_(pair.ours[0], 1.0), torch.nn.utils.clip_grad_norm_(pair.theirs[0], 1.0)
    assert ours.item() == pytest.approx(theirs.item())
    with pytest.raises(ValueError, match="must not be negative"):
        nn.utils.clip_grad_norm_(pair.ours, -1.0)
    with pytest.raises(ValueError, match="must not be negative"):
        nn.utils.clip_grad_value_(pair.ours, -1.0)
