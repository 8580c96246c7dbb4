"""Schedules: one on a real optimiser, after so many calls of `step()`."""

from collections.abc import Callable
from typing import Any

from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, Values, evaluated
from minimtl.equations.draw import Draw
from minimtl.nn import Parameter
from minimtl.optim import SGD, Optimizer
from minimtl.optim import lr_scheduler as lrs


def sgd(lr: float) -> Optimizer:
    """An optimiser with this rate."""
    return SGD([Parameter(Tensor([0.0]))], lr)


def after(d: Draw, make: Callable[[Optimizer], lrs.LRScheduler], values: Values) -> Drawn:
    """η₀ and t beside the values, and the rate after t steps of the schedule."""
    base, t = d.number(0.25, 2), d.integer(0, 12)
    schedule = make(sgd(base))
    for _ in range(t):
        schedule.step()
    return {**values, "η0": base, "t": t}, schedule.get_last_lr()[0]


@evaluated("optim.lambda_lr", wrong=[(r"\eta_0 \, f(t)", "f(t)"), ("f(t)", "f(t + 1)"), ("f(t)", "f(0) f(t)")])
def lambda_lr(d: Draw) -> Drawn:
    """A function that is a line."""
    a, b = d.number(0.25, 2), d.number(0.25, 2)
    return after(d, lambda o: lrs.LambdaLR(o, lambda t: a + b * t), {"f": lambda t: a + b * t})


@evaluated(
    "optim.step_lr",
    wrong=[(r"\lfloor t / s \rfloor", "t / s"), (r"\lfloor t / s \rfloor", r"\lfloor (t + 1) / s \rfloor"), (r"\eta_0 ", "")],
)
def step_lr(d: Draw) -> Drawn:
    """Some steps, with some falls on the way."""
    s, γ = d.integer(1, 3), float(d.shares())
    return after(d, lambda o: lrs.StepLR(o, s, γ), {"s": s, "γ": γ})


@evaluated("optim.multi_step_lr", wrong=[(r"m \le t", "m < t"), (r"m \le t", r"m \ge t"), (r"[m \le t]", "1")])
def multi_step_lr(d: Draw) -> Drawn:
    """Milestones, in any order."""
    γ, milestones = float(d.shares()), d.integers(1, 12, (d.size(),)).tolist()
    return after(d, lambda o: lrs.MultiStepLR(o, milestones, γ), {"γ": γ, "M": milestones})


@evaluated(
    "optim.cosine_annealing_lr",
    wrong=[(r"\frac{1}{2} ", ""), (r"\cos(\pi t / T)", r"\cos(2 \pi t / T)"), (r"\pi t / T", r"\pi t / (T + 1)")],
)
def cosine_annealing_lr(d: Draw) -> Drawn:
    """Any time, also after the end."""
    n, least = d.integer(1, 12), d.number(0, 1)
    return after(d, lambda o: lrs.CosineAnnealingLR(o, n, least), {"T": n, "ηmin": least})


@evaluated(
    "optim.linear_lr", wrong=[(r"\min(t / T, 1)", "t / T"), ("(e - s)", "e"), (r"\min(t / T, 1)", r"\min((t + 1) / T, 1)")]
)
def linear_lr(d: Draw) -> Drawn:
    """Up or down."""
    s, e, n = float(d.shares()), float(d.shares()), d.integer(1, 12)
    return after(d, lambda o: lrs.LinearLR(o, s, e, n), {"s": s, "e": e, "T": n})


def plateau(d: Draw) -> tuple[lrs.ReduceLROnPlateau, Values]:
    """A schedule on its way, and the letters it is made of."""
    options: dict[str, Any] = {
        "mode": d.of("min", "max"), "factor": float(d.shares()), "patience": d.integer(0, 2), "threshold": float(d.shares()),
        "threshold_mode": d.of("rel", "abs"), "cooldown": d.integer(0, 2), "min_lr": d.number(0, 1),
    }  # fmt: skip
    schedule = lrs.ReduceLROnPlateau(sgd(d.number(0.25, 2)), **options, eps=0.0)
    for _ in range(d.integer(1, 8)):
        schedule.step(d.number(-2, 2))
    return schedule, {
        "s": 1 if options["mode"] == "max" else -1, "r": int(options["threshold_mode"] == "rel"), "b": schedule.best,
        "τ": options["threshold"], "f": options["factor"], "ηmin": options["min_lr"], "P": options["patience"],
        "C": options["cooldown"], "n": schedule.num_bad_epochs, "c": schedule.cooldown_counter, "η": schedule.get_last_lr()[0],
    }  # fmt: skip


@evaluated(
    "optim.reduce_lr_on_plateau.is_better",
    wrong=[
        ("s v > s m", "v > m"),
        ("s v > s m", r"s v \ge s m"),
        ("s v > s m", "s v > s b"),
        (r"b \, (1 + s \tau)", r"b \, (1 + \tau)"),
        (r"b \, (1 + s \tau)", r"b + s \tau \lvert b \rvert"),
        ("r = 1", "r = 0"),
    ],
)
def is_better(d: Draw) -> Drawn:
    """A value that may be just as good as the best, or just as much better as the threshold."""
    schedule, values = plateau(d)
    b, mark = values["b"], values["s"] * values["τ"]
    value = d.of(d.number(-2, 2), b, b + mark, b * (1 + mark))
    return {**values, "v": value}, schedule.is_better(value)


@evaluated(
    "optim.reduce_lr_on_plateau",
    wrong=[
        (r"\max(f \eta, \eta_{\mathrm{min}})", r"f \eta"),
        (r"\min(\eta, \max(f \eta, \eta_{\mathrm{min}}))", r"\max(f \eta, \eta_{\mathrm{min}})"),
        (r"\eta_{\mathrm{min}})) & n > P", r"\eta_{\mathrm{min}})) & n \ge P"),
        ("C & n > P", r"C & n \ge P"),
        (r"B = 1 \lor c > 0", "B = 1"),
        (r"B = 1 \lor c > 0", "c > 0"),
        (r"\max(c - 1, 0)", "c"),
        (r"[n \le P] n", "n"),
    ],
)
def reduce_lr_on_plateau(d: Draw) -> Drawn:
    """One more step."""
    schedule, values = plateau(d)
    value = d.number(-2, 2)
    better = int(schedule.is_better(value))
    schedule.step(value)
    after = {"n": schedule.num_bad_epochs, "c": schedule.cooldown_counter, "η": schedule.get_last_lr()[0]}
    return {**values, "B": better}, after
