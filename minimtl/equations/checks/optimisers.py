"""Optimisers: a real one takes some steps, so that its state is not empty, and then the step that is looked at."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw
from minimtl.nn import Parameter
from minimtl.optim import SGD, Adam, AdamW, Optimizer, RMSprop

DECAY = (r"g + \lambda \theta", "g")
ADAM = {"m": "exp_avg", "v": "exp_avg_sq", "t": "step"}
RMSPROP = {"v": "square_avg", "a": "grad_avg", "b": "momentum_buffer"}


def one_step(d: Draw, make: Callable[[list[Parameter]], Optimizer], kept: dict[str, str], options: dict[str, float]) -> Drawn:
    """The letters before a step and after it. `kept`: letter → its name in the state; where there is none yet it is 0."""
    n, before = d.size(), d.integer(0, 3)
    p = Parameter(Tensor(d.array(n)))
    optimizer = make([p])

    def step() -> Array:
        p.grad = Tensor(d.array(n))
        optimizer.step()
        return p.grad.array

    def letters() -> dict[str, Array]:
        state: dict[str, Any] = optimizer.state.get(p, {})
        return {"θ": p.numpy().copy()} | {letter: np.zeros(n) + state[name] for letter, name in kept.items() if name in state}

    for _ in range(before):
        step()
    old = letters()
    return {"t": before + 1, **dict.fromkeys(kept, 0.0), **options, **old, "g": step()}, letters()


def drawn(d: Draw, *letters: str) -> dict[str, float]:
    """A number in (0, 1) for each option: rates, decays, and an ε that can be seen."""
    return {letter: float(d.shares()) for letter in letters}


def sgd_step(d: Draw, maximize: bool) -> Drawn:
    """A step of SGD, often without momentum."""
    o = drawn(d, "η", "λ", "d") | {"μ": d.of(0.0, float(d.shares()))}
    return one_step(d, lambda p: SGD(p, o["η"], o["μ"], o["d"], o["λ"], maximize=maximize), {"b": "momentum_buffer"}, o)


@evaluated(
    "optim.sgd",
    wrong=[
        DECAY,
        (r"(1 - d) g", "g"),
        (r"\mu = 0 \lor t = 1", "t = 1"),
        (r"\mu = 0 \lor t = 1", r"\mu = 0"),
        (r"\mu b + (1 - d) g", r"\mu b + \eta \, (1 - d) g"),
        (r"\mu b +", r"(1 - \mu) b +"),
        (r"\theta - \eta b", r"\theta - \eta g"),
        (r"\theta - \eta b", r"\theta - b"),
    ],
)
def sgd(d: Draw) -> Drawn:
    """A step down."""
    return sgd_step(d, maximize=False)


@evaluated("optim.sgd_maximize", wrong=[(r"-g + \lambda \theta", r"-(g + \lambda \theta)"), (r"\eta b", r"\eta g")])
def sgd_maximize(d: Draw) -> Drawn:
    """A step up."""
    return sgd_step(d, maximize=True)


@evaluated(
    "optim.nesterov",
    wrong=[
        DECAY,
        (r"g + \mu b)", r"\mu b)"),
        (r"g + \mu b)", "b)"),
        (r"\eta \, (g + \mu b)", r"\mu b + \eta g"),
        ("t = 1", "t = 2"),
    ],
)
def nesterov(d: Draw) -> Drawn:
    """A step of SGD that looks ahead."""
    o = drawn(d, "η", "λ", "μ")
    return one_step(d, lambda p: SGD(p, o["η"], o["μ"], weight_decay=o["λ"], nesterov=True), {"b": "momentum_buffer"}, o)


def adam_step(d: Draw, rule: type[Adam]) -> Drawn:
    """A step of Adam or AdamW."""
    o = drawn(d, "η", "λ", "β1", "β2", "ε")
    return one_step(d, lambda p: rule(p, o["η"], (o["β1"], o["β2"]), o["ε"], o["λ"]), ADAM, o)


MOMENTS = [
    (r"\sqrt{\hat v} + \varepsilon", r"\hat v + \varepsilon"),  # the root forgotten
    (r"\sqrt{\hat v} + \varepsilon", r"\sqrt{\hat v + \varepsilon}"),
    (r"\sqrt{\hat v} + \varepsilon", r"\sqrt{v} + \varepsilon"),
    (r"\frac{\hat m}{\sqrt{\hat v} + \varepsilon}", r"\frac{m}{\sqrt{\hat v} + \varepsilon}"),
    (  # ε beside the root of the uncorrected v, as in the text of §2 of the paper
        r"\frac{\hat m}{\sqrt{\hat v} + \varepsilon}",
        r"\frac{\hat m \sqrt{1 - \beta_2^t}}{\sqrt{v} + \varepsilon}",
    ),
    (r"(1 - \beta_2) g^2", r"(1 - \beta_2) g"),
    (r"(1 - \beta_1) g", "g"),
    (r"1 - \beta_1^t", r"1 - \beta_1"),
    (r"1 - \beta_2^t", r"1 - \beta_1^t"),
    ("t + 1", "t"),
]


@evaluated("optim.adam", wrong=[DECAY, *MOMENTS])
def adam(d: Draw) -> Drawn:
    """A step of Adam."""
    return adam_step(d, Adam)


@evaluated(
    "optim.adamw",
    wrong=[
        (r"\theta \leftarrow \theta - \eta \lambda \theta", r"g \leftarrow g + \lambda \theta"),  # the decay of Adam
        (r"\theta - \eta \lambda \theta", r"\theta - \lambda \theta"),
        *MOMENTS,
    ],
)
def adamw(d: Draw) -> Drawn:
    """A step of AdamW."""
    return adam_step(d, AdamW)


def rmsprop_step(d: Draw, centered: bool) -> Drawn:
    """A step of RMSprop, often without momentum."""
    o = drawn(d, "η", "λ", "α", "ε") | {"μ": d.of(0.0, float(d.shares()))}
    return one_step(d, lambda p: RMSprop(p, o["η"], o["α"], o["ε"], o["λ"], o["μ"], centered), RMSPROP, o)


@evaluated(
    "optim.rmsprop",
    wrong=[
        DECAY,
        (r"\sqrt{v} + \varepsilon", r"\sqrt{v + \varepsilon}"),
        (r"\sqrt{v} + \varepsilon", r"v + \varepsilon"),
        (r"(1 - \alpha) g^2", "g^2"),
        (r"(1 - \alpha) g^2", r"(1 - \alpha) g"),
        (r"\mu b + \frac{g}", r"\mu b + \frac{\eta g}"),
    ],
)
def rmsprop(d: Draw) -> Drawn:
    """A step of RMSprop."""
    return rmsprop_step(d, centered=False)


@evaluated(
    "optim.rmsprop_centered",
    wrong=[
        DECAY,
        (r"\sqrt{v - a^2} + \varepsilon", r"\sqrt{v - a^2 + \varepsilon}"),
        (r"v - a^2", "v"),
        (r"v - a^2", "v - a"),
        (r"(1 - \alpha) g, ", r"(1 - \alpha) g^2, "),
    ],
)
def rmsprop_centered(d: Draw) -> Drawn:
    """A step of RMSprop by the deviation of the gradients."""
    return rmsprop_step(d, centered=True)
