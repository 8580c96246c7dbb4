"""The rules by which parameters move: θ a parameter, g its gradient, λ weight decay, η learning rate, t the step from 1.

What `move` says is done in this order, entry by entry; a letter holds from then on what is on its right.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.optim.optimizer import Group, Optimizer

Params = Iterable[Tensor] | Iterable[Group]


class SGD(Optimizer):
    """Gradient descent with momentum μ as PyTorch has it: the rate multiplies b, not what goes into it; d is the dampening."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and no dampening")
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    @equation(
        "optim.sgd",
        r"g \leftarrow g + \lambda \theta, \quad "
        r"b \leftarrow \begin{cases} g & \mu = 0 \lor t = 1 \\ \mu b + (1 - d) g & \text{otherwise} \end{cases}, \quad "
        r"\theta \leftarrow \theta - \eta b",
        symbols={"θ": "p", "b": "state", "t": "state", "η": "group", "λ": "group", "μ": "group", "d": "group"},
        source="Polyak 1964",
        conventions="t counts steps from 1; d is the dampening, not used in the first step; η multiplies b, not what goes into it; "
        "λ is coupled: the gradient of λ/2 ‖θ‖²",
    )
    @equation(
        "optim.sgd_maximize",
        r"g \leftarrow -g + \lambda \theta, \quad "
        r"b \leftarrow \begin{cases} g & \mu = 0 \lor t = 1 \\ \mu b + (1 - d) g & \text{otherwise} \end{cases}, \quad "
        r"\theta \leftarrow \theta - \eta b",
        symbols={"θ": "p", "b": "state", "t": "state", "η": "group", "λ": "group", "μ": "group", "d": "group"},
        conventions="`maximize` climbs; the decay pulls towards 0 all the same",
    )
    @equation(
        "optim.nesterov",
        r"g \leftarrow g + \lambda \theta, \quad "
        r"b \leftarrow \begin{cases} g & t = 1 \\ \mu b + g & \text{otherwise} \end{cases}, \quad "
        r"\theta \leftarrow \theta - \eta \, (g + \mu b)",
        symbols={"θ": "p", "b": "state", "t": "state", "η": "group", "λ": "group", "μ": "group"},
        source="Nesterov 1983; Sutskever et al. 2013",
        conventions="θ is the point looked ahead to, as in PyTorch; there is no dampening",
    )
    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """g ← g + λ θ;  b ← g where μ = 0 or t = 1, else μ b + (1 − d) g;  θ ← θ − η b

        `maximize` begins with g ← −g + λ θ. `nesterov` has b ← g where t = 1, else μ b + g;  θ ← θ − η (g + μ b).
        """
        mu = group["momentum"]
        if group["maximize"]:
            g = -g
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if mu:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = np.copy(g)  # an array also where g has become a NumPy scalar
            else:
                b = state["momentum_buffer"]
                b *= mu
                b += g if not group["dampening"] else (1 - group["dampening"]) * g
            b = state["momentum_buffer"]
            g = g + mu * b if group["nesterov"] else b
        p -= group["lr"] * g


class Adam(Optimizer):
    """Each entry moves by the mean of its last gradients over the root of their mean square.      Kingma & Ba 2015"""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @equation(
        "optim.adam",
        r"t \leftarrow t + 1, \quad g \leftarrow g + \lambda \theta, \quad "
        r"m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad "
        r"\hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1 - \beta_2^t}, \quad "
        r"\theta \leftarrow \theta - \eta \frac{\hat m}{\sqrt{\hat v} + \varepsilon}",
        symbols={"θ": "p", "m": "state", "v": "state", "t": "state", "η": "group", "λ": "group"}
        | {"β1": "group", "β2": "group", "ε": "group"},
        source="Kingma & Ba 2015",
        conventions="ε stands outside the root of the corrected v; m, v and t begin at 0; λ is coupled: the gradient of λ/2 ‖θ‖², "
        "scaled as all of g",
        helpers=("adam_step",),
    )
    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """t ← t + 1;  g ← g + λ θ;  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²

        m̂ = m / (1 − β₁ᵗ);  v̂ = v / (1 − β₂ᵗ);  θ ← θ − η m̂ / (√v̂ + ε)
        """
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        adam_step(p, g, state, group)


class AdamW(Adam):
    """Adam whose decay does not pass through the gradient.      Loshchilov & Hutter 2019"""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    @equation(
        "optim.adamw",
        r"t \leftarrow t + 1, \quad \theta \leftarrow \theta - \eta \lambda \theta, \quad "
        r"m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad "
        r"\hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1 - \beta_2^t}, \quad "
        r"\theta \leftarrow \theta - \eta \frac{\hat m}{\sqrt{\hat v} + \varepsilon}",
        symbols={"θ": "p", "m": "state", "v": "state", "t": "state", "η": "group", "λ": "group"}
        | {"β1": "group", "β2": "group", "ε": "group"},
        source="Loshchilov & Hutter 2019",
        conventions="the decay is multiplied by η, as in PyTorch; ε stands outside the root",
        helpers=("adam_step",),
    )
    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """t ← t + 1;  θ ← θ − η λ θ;  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²

        m̂ = m / (1 − β₁ᵗ);  v̂ = v / (1 − β₂ᵗ);  θ ← θ − η m̂ / (√v̂ + ε)
        """
        p *= 1 - group["lr"] * group["weight_decay"]
        adam_step(p, g, state, group)


def kept(state: dict[str, Any], name: str, p: Array) -> Array:
    """The array that the state keeps under the name, zeros at first."""
    if name not in state:
        state[name] = np.zeros_like(p)
    return state[name]


def adam_step(p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
    """What Adam and AdamW share: m, v, t and θ from the gradient."""
    (beta1, beta2), t = group["betas"], state.get("step", 0) + 1
    m, v, state["step"] = kept(state, "exp_avg", p), kept(state, "exp_avg_sq", p), t
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    root = np.sqrt(v)
    root *= 1 / math.sqrt(1 - beta2**t)
    root += group["eps"]
    p -= (group["lr"] / (1 - beta1**t)) * (m / root)


class RMSprop(Optimizer):
    """Each entry's gradient over its root mean square, or its deviation if `centered`.      Hinton's lecture 6e; Graves 2013"""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered)

    @equation(
        "optim.rmsprop",
        r"g \leftarrow g + \lambda \theta, \quad v \leftarrow \alpha v + (1 - \alpha) g^2, \quad "
        r"b \leftarrow \mu b + \frac{g}{\sqrt{v} + \varepsilon}, \quad \theta \leftarrow \theta - \eta b",
        symbols={"θ": "p", "v": "state", "b": "state", "η": "group", "λ": "group", "α": "group", "μ": "group", "ε": "group"},
        source="Hinton's lecture 6e",
        conventions="ε stands outside the root; v and b begin at 0",
    )
    @equation(
        "optim.rmsprop_centered",
        r"g \leftarrow g + \lambda \theta, \quad v \leftarrow \alpha v + (1 - \alpha) g^2, \quad "
        r"a \leftarrow \alpha a + (1 - \alpha) g, \quad "
        r"b \leftarrow \mu b + \frac{g}{\sqrt{v - a^2} + \varepsilon}, \quad \theta \leftarrow \theta - \eta b",
        symbols={"θ": "p", "v": "state", "a": "state", "b": "state", "η": "group", "λ": "group"}
        | {"α": "group", "μ": "group", "ε": "group"},
        source="Graves 2013",
        conventions="ε stands outside the root, where Graves has it inside; v − a² counts as 0 where rounding takes it below",
    )
    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """g ← g + λ θ;  v ← α v + (1 − α) g²;  b ← μ b + g / (√v + ε);  θ ← θ − η b

        `centered` has a ← α a + (1 − α) g;  b ← μ b + g / (√(v − a²) + ε).
        """
        alpha = group["alpha"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        v = kept(state, "square_avg", p)
        v *= alpha
        v += (1 - alpha) * (g * g)
        if group["centered"]:
            a = kept(state, "grad_avg", p)
            a *= alpha
            a += (1 - alpha) * g
            v = np.maximum(v - a * a, 0)  # rounding may take a variance below 0
        u = g / (np.sqrt(v) + group["eps"])
        if group["momentum"]:
            b = kept(state, "momentum_buffer", p)
            b *= group["momentum"]
            b += u
            u = b
        p -= group["lr"] * u
