"""The documents' own equations. The functions in them are small ones that take numbers and Tensors alike."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minimtl import mtl, nn, optim, testing, transfer
from minimtl.autograd import Tensor, grad
from minimtl.data import TensorDataset
from minimtl.equations.checking import Drawn, Values, evaluated, holds
from minimtl.equations.draw import Draw
from minimtl.mtl.objective import sum_of

Function = Callable[..., Any]

# Data


def pairs(d: Draw) -> tuple[Any, Any]:
    """Some inputs and labels."""
    n = d.size()
    return d.array(n), d.array(n)


@evaluated("mtl.data", wrong=[("(x_{ki}, y_{ki})", "(y_{ki}, x_{ki})"), ("(x_{ki}", "(x_{k,1}")])
def task_data(d: Draw) -> Drawn:
    """A data set for each task, of its own size."""
    x, y = zip(*(pairs(d) for _ in range(d.size(2))), strict=True)
    sets = [TensorDataset(*map(Tensor, arrays)) for arrays in zip(x, y, strict=True)]
    return {"x": x, "y": y, "N": [len(a) for a in x]}, [samples(D) for D in sets]


@evaluated(
    "tl.data", wrong=[("(x_{ti}, y_{ti})", "(x_{si}, y_{ti})"), (r"D_s = \{(x_{si}, y_{si})", r"D_s = \{(x_{si}, x_{si})")]
)
def source_and_target(d: Draw) -> Drawn:
    """A source and a target."""
    (xs, ys), (xt, yt) = pairs(d), pairs(d)
    values = {"x": {"s": xs, "t": xt}, "y": {"s": ys, "t": yt}, "N": {"s": len(xs), "t": len(xt)}, "s": "s", "t": "t"}
    sets = {"Ds": TensorDataset(Tensor(xs), Tensor(ys)), "Dt": TensorDataset(Tensor(xt), Tensor(yt))}
    return values, {name: samples(D) for name, D in sets.items()}


def samples(D: TensorDataset) -> list[tuple[float, ...]]:
    """The samples of a data set, as numbers."""
    return [tuple(t.item() for t in D[i]) for i in range(len(D))]


# Multi-task learning


def f(x: Any, θk: Function, φ: Function) -> Any:
    """fₖ(x; θₖ, φ) = θₖ(φ(x)), written once more."""
    return θk(φ(x))


def square(weight: float, ŷ: Any, y: Any) -> Any:
    """A loss."""
    return weight * (ŷ - y) * (ŷ - y)


def line(a: float, b: float, x: Any) -> Any:
    """A function of one number."""
    return a * x + b


def tasks(d: Draw) -> Values:
    """K tasks with data, losses and heads of their own, and what they share."""
    K = d.size(2)
    x, y = zip(*(pairs(d) for _ in range(K)), strict=True)
    θ = [partial(line, *d.array(2)) for _ in range(K)]
    l = [partial(square, d.number(0.5, 2)) for _ in range(K)]
    return {"x": x, "y": y, "θ": θ, "l": l, "φ": partial(line, *d.array(2)), "N": [len(a) for a in x], "K": K, "f": [f] * K}


def named(items: Sequence[Any]) -> dict[str, Any]:
    """{"1": …, "2": …}: what belongs to each task."""
    return {str(k): item for k, item in enumerate(items, 1)}


def data_of(v: Values) -> dict[str, tuple[Tensor, Tensor]]:
    """The inputs and labels of each task."""
    return {k: (Tensor(x), Tensor(y)) for k, (x, y) in named(list(zip(v["x"], v["y"], strict=True))).items()}


class Lines(nn.Module):
    """x ↦ a x + b, as a module."""

    def __init__(self, a: float, b: float) -> None:
        self.weight, self.bias = nn.Parameter(Tensor(np.array(a))), nn.Parameter(Tensor(np.array(b)))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x + self.bias


@evaluated("mtl.hard_sharing", wrong=[(r"\theta_k(\phi(x))", r"\phi(\theta_k(x))"), (r"\theta_k(\phi(x))", r"\theta_k(x)")])
def hard_sharing(d: Draw) -> Drawn:
    """The outputs of a model."""
    φ, θ, x = d.array(2), d.array(2, 2), d.number(-1, 1)
    model = mtl.HardSharing(Lines(*φ), named([Lines(*a) for a in θ]))
    outputs = model({k: Tensor(np.array(x)) for k in ("1", "2")})
    return {"x": x, "φ": partial(line, *φ), "θ": [partial(line, *a) for a in θ]}, [y.item() for y in outputs.values()]


@evaluated("mtl.task_loss", wrong=[(r"\sum_{i=1}^{N_k}", r"\frac{1}{N_k} \sum_{i=1}^{N_k}"), ("y_{ki}", "y_{k,1}")])
def task_loss(d: Draw) -> Drawn:
    """The loss of every task."""
    v = tasks(d)
    result = [mtl.task_loss(l, θk, v["φ"], D).item() for l, θk, D in zip(v["l"], v["θ"], data_of(v).values(), strict=True)]
    return v, result


@evaluated(
    "mtl.total_loss",
    wrong=[
        (r"\sum_{i=1}^{N_k}", r"\frac{1}{N_k} \sum_{i=1}^{N_k}"),
        ("f_k(x_{ki}; \\theta_k", "f_k(x_{ki}; \\theta_1"),
        (r"\sum_{k=1}^{K} L_k", r"\sum_{k=1}^{K} L_1"),
    ],
)
def total_loss(d: Draw) -> Drawn:
    """Both forms of the sum."""
    v = tasks(d)

    def task(k: int) -> Function:
        return lambda θk, φ: sum(v["l"][k](f(x, θk, φ), y) for x, y in zip(v["x"][k], v["y"][k], strict=True))

    return {**v, "L": [task(k) for k in range(v["K"])]}, total(v)


def total(v: Values) -> float:
    """L of D0, by the engine."""
    return mtl.total_loss(named(v["l"]), named(v["θ"]), v["φ"], data_of(v)).item()


class Both:
    """θ as D3 writes it: itself what is shared, and with an index a task's own."""

    def __init__(self, shared: Function, own: Sequence[Function]) -> None:
        self.shared, self.own = shared, own

    def __call__(self, x: Any) -> Any:
        return self.shared(x)

    def __getitem__(self, i: int) -> Function:
        return self.own[i - 1]


@evaluated("mtl.joint_objective", wrong=[(r"\theta, \theta^{(i)})", r"\theta, \theta^{(1)})"), ("y^{(i)}", "y^{(1)}")])
def joint_objective(d: Draw) -> Drawn:
    """D3's letters for the same function: here each L⁽ⁱ⁾ is of all samples of its task."""
    v = tasks(d)

    def model(xs: Any, θ: Both, own: Function) -> list[float]:
        return [own(θ(x)) for x in xs]

    def over_samples(l: Function) -> Function:
        return lambda outputs, ys: sum(l(ŷ, y) for ŷ, y in zip(outputs, ys, strict=True))

    values = {"x": v["x"], "y": v["y"], "T": v["K"], "θ": Both(v["φ"], v["θ"]), "f": model}
    return {**values, "L": [over_samples(l) for l in v["l"]]}, total(v)


@evaluated("mtl.minibatch", wrong=[(r"\frac{N_k}{|B_k|} ", ""), (r"\frac{N_k}{|B_k|}", r"\frac{1}{|B_k|}"), ("|B_k|", "N_k")])
def minibatch(d: Draw) -> Drawn:
    """Batches of every task; in B the formula's samples count from 1."""
    v = tasks(d)
    B = [np.unique(d.indices(n, n)) for n in v["N"]]
    batch = {**v, "x": [x[b] for x, b in zip(v["x"], B, strict=True)], "y": [y[b] for y, b in zip(v["y"], B, strict=True)]}
    result = mtl.minibatch_loss(named(v["l"]), named(v["θ"]), v["φ"], data_of(batch), named(v["N"])).item()
    return {**v, "B": [list(b + 1) for b in B]}, result


@evaluated(
    "mtl.weighted_loss",
    wrong=[(r"\alpha_t L_t", "L_t"), (r"\alpha_t L_t", r"\alpha_1 L_t"), (r"\sum_{t=1}^{T}", r"\frac{1}{T} \sum_{t=1}^{T}")],
)
def weighted_loss(d: Draw) -> Drawn:
    """Losses that are functions of θ, and their weights."""
    T, θ = d.size(2), d.number(-1, 1)
    L, α = [partial(line, *d.array(2)) for _ in range(T)], d.positive(T)
    result = mtl.weighted_loss({k: l(Tensor(np.array(θ))) for k, l in named(L).items()}, named(α.tolist()))
    return {"L": L, "α": α, "θ": θ, "T": T}, result.item()


@evaluated("mtl.regularised_loss", wrong=[(r"\lambda R(\theta)", r"R(\theta)"), (r"\lambda R(\theta)", r"\lambda n R(\theta)")])
def regularised_loss(d: Draw) -> Drawn:
    """Losses and a penalty that are functions of θ."""
    n, θ, λ = d.size(2), d.number(-1, 1), d.number(0.1, 2)
    L, R = [partial(line, *d.array(2)) for _ in range(n)], partial(square, 1.0, 0.0)
    return {"L": L, "R": R, "λ": λ, "θ": θ, "n": n}, mtl.regularised_loss(L, R, λ, Tensor(np.array(θ))).item()


@evaluated("mtl.parity", wrong=[(r"\bmod 2 = 0", r"\bmod 2 = 1"), (r"\bmod 2", r"\bmod 4")])
def parity(d: Draw) -> Drawn:
    """The second label of a digit."""
    y = d.integer(0, 9)
    return {"y": y}, mtl.parity(Tensor(np.array(y))).item()


# What holds of the gradients


def shared_model(d: Draw) -> tuple[mtl.HardSharing, Function, Values]:
    """A model of K tasks in float64, its losses as a function, and the weights of the tasks."""
    K, I, H = d.size(2), d.size(2), d.size(2)
    model = mtl.HardSharing(nn.Linear(I, H), named([nn.Linear(H, 1) for _ in range(K)])).double()
    for p in model.parameters():
        p.data = Tensor(d.array(*p.shape))
    x, y = Tensor(d.distinct(3, I)), named([Tensor(d.array(3, 1)) for _ in range(K)])

    def losses() -> dict[str, Tensor]:
        return {k: nn.functional.mse_loss(ŷ, y[k]) for k, ŷ in model(x).items()}

    return model, losses, {"α": d.positive(K), "K": K}


def slopes(L: Tensor, parameters: Sequence[Tensor]) -> Any:
    """∂L/∂p of all parameters in a row, 0 where there is none."""
    found = grad(L, parameters, allow_unused=True)
    return np.concatenate(
        [np.zeros(p.array.size) if g is None else g.array.ravel() for g, p in zip(found, parameters, strict=True)]
    )


def finds(check: Callable[[], None]) -> None:
    """The check raises, as it must where what it looks for is wrong."""
    try:
        check()
    except testing.GradientError:
        return
    raise ArithmeticError("what is wrong is not found")


@evaluated("mtl.own_gradient", wrong=[("= 0", "= 1"), (r" \quad \text{for } j \ne k", "")])
def own_gradient(d: Draw) -> Drawn:
    """The gradients of every loss by every head, summed up in size."""
    model, losses, _ = shared_model(d)
    θ = {k: list(model.task_parameters(k)) for k in model.heads}
    testing.check_own_parameters(losses, θ)
    finds(lambda: testing.check_own_parameters(lambda: dict.fromkeys(θ, sum_of(losses().values())), θ))
    return {}, [[float(np.abs(slopes(losses()[j], θ[k])).sum()) for k in θ] for j in θ]


@evaluated("mtl.shared_gradient", wrong=[(r"\alpha_k ", ""), (r"\sum_{k=1}^{K}", r"\frac{1}{K} \sum_{k=1}^{K}")])
def shared_gradient(d: Draw) -> Drawn:
    """The gradient of the weighted loss beside those of the tasks."""
    model, losses, v = shared_model(d)
    φ, α = list(model.shared_parameters()), named(v["α"].tolist())
    testing.check_shared_parameters(losses, φ, α, rtol=1e-12)
    finds(lambda: testing.check_shared_parameters(losses, φ, α, lambda L, α: 2 * mtl.weighted_loss(L, α)))
    return {**v, "dLk_dφ": np.stack([slopes(losses()[k], φ) for k in α])}, slopes(mtl.weighted_loss(losses(), α), φ)


# Transfer learning


@evaluated(
    "tl.target_loss",
    wrong=[
        (r"\sum_{i=1}^{N_t}", r"\frac{1}{N_t} \sum_{i=1}^{N_t}"),
        ("y_{ti}", "y_{t,1}"),
        (r"x_{ti}; \theta_t", r"y_{ti}; \theta_t"),
    ],
)
def target_loss(d: Draw) -> Drawn:
    """The loss of a model on the target."""
    x, y = pairs(d)
    θ, l = d.array(2), partial(square, d.number(0.5, 2))
    values = {"x": {"t": x}, "y": {"t": y}, "N": {"t": len(x)}, "t": "t", "lt": l, "ft": affine, "θt": θ}
    return values, transfer.target_loss(l, affine, θ, (Tensor(x), Tensor(y))).item()


def affine(x: Any, θ: Any) -> Any:
    """f(x; θ) = θ₁ x + θ₂"""
    a, b = θ
    return a * x + b


def from_scratch(L: Function, θs: nn.Module, optimizer: Function, steps: int) -> nn.Module:
    """Not started at θₛ."""
    θt = copy.deepcopy(θs)
    for p in θt.parameters():
        p.data = Tensor(0 * p.array)
    return transfer.fine_tune(L, θt, optimizer, steps)


def in_place(L: Function, θs: nn.Module, optimizer: Function, steps: int) -> nn.Module:
    """The source model is moved."""
    θs.load_state_dict(transfer.fine_tune(L, θs, optimizer, steps).state_dict())
    return θs


def uphill(L: Function, θs: nn.Module, optimizer: Function, steps: int) -> nn.Module:
    """Away from the minimum."""
    return transfer.fine_tune(lambda θ: -L(θ), θs, optimizer, steps)


@holds("tl.fine_tune", wrong=[from_scratch, in_place, uphill])
def fine_tune(d: Draw, f: Function) -> float:
    """Of least squares the minimum is known: XᵀX = diag(1, ½), so w* = (XᵀX)⁻¹ Xᵀ y. Without a step θₜ is θₛ, which never moves."""
    X, y = np.diag([1.0, 0.5**0.5]), d.array(2, 1) + 3
    θs = nn.Linear(2, 1, bias=False).double()
    θs.weight.data = Tensor(d.positive(1, 2))
    before = θs.weight.array.copy()

    def L(θ: nn.Module) -> Tensor:
        return ((θ(Tensor(X)) - Tensor(y)) ** 2).sum()

    def rule(parameters: Any) -> optim.Optimizer:
        return optim.SGD(parameters, lr=0.5)

    started, found = f(L, θs, rule, 0).weight.array.copy(), f(L, θs, rule, 40).weight.array
    wanted = np.linalg.solve(X.T @ X, X.T @ y).T
    return float(max(np.abs(started - before).max(), np.abs(θs.weight.array - before).max(), np.abs(found - wanted).max()))


def regression(x: Any, θ: Any) -> Any:
    """A model of parameters: Σ xᵢ θᵢ for numbers, of {"w": θ} for Tensors."""
    return (x * θ["w"]).sum() if isinstance(x, Tensor) else sum(a * b for a, b in zip(x, θ, strict=True))


def updated(d: Draw) -> Values:
    """A fixed θ, an update of it, and a sample of the target."""
    n = d.size(2)
    return {"θ": d.array(n), "θʹ": d.array(n), "x": {"t": d.positive(n)}, "y": {"t": d.number(-1, 1)}, "t": "t"}


def delta_of(v: Values, θ: Tensor, θʹ: Tensor) -> Tensor:
    """The loss at θ + θ′, by the engine."""
    D = Tensor(v["x"]["t"]), Tensor(np.array(v["y"]["t"]))
    return transfer.delta_loss(partial(square, 1.0), regression, {"w": θ}, {"w": θʹ}, D)


@evaluated("tl.delta", wrong=[(r"\theta + \theta'), y", r"\theta), y"), (r"\theta + \theta'), y", r"\theta'), y")])
def delta(d: Draw) -> Drawn:
    """The objective of an update."""
    v = updated(d)
    return {**v, "L": {"t": partial(square, 1.0)}, "f": regression}, delta_of(v, Tensor(v["θ"]), Tensor(v["θʹ"])).item()


@evaluated("tl.delta_gradient", wrong=[(r"= \frac{\partial L}", r"= 2 \frac{\partial L}")])
def delta_gradient(d: Draw) -> Drawn:
    """The gradient by θ′ beside that by θ, both at θ + θ′."""
    v = updated(d)
    moved, θʹ = (Tensor(a, requires_grad=True) for a in (v["θ"] + v["θʹ"], v["θʹ"]))
    model, calls = nn.Linear(2, 1).double(), iter((1.0, 2.0))
    x = Tensor(d.positive(1, 2))
    testing.check_delta(model, lambda model: (model(x) ** 2).sum())
    finds(lambda: testing.check_delta(model, lambda model: next(calls) * model(x).sum()))
    L = square(1.0, regression(Tensor(v["x"]["t"]), {"w": moved}), Tensor(np.array(v["y"]["t"])))
    return {"dL_dθ": slopes(L, [moved])}, slopes(delta_of(v, Tensor(v["θ"]), θʹ), [θʹ])


@evaluated(
    "tl.delta_path", wrong=[(r"\theta_i + ", ""), (r"\theta'_{n,i}", r"2 \theta'_{n,i}"), (r"\theta'_{n,i}", r"\theta'_{1,i}")]
)
def delta_path(d: Draw) -> Drawn:
    """The parameters after 0, 1 … 4 steps of fine-tuning, and the update after as many of the same optimiser with momentum."""
    D, θs = (Tensor(d.array(3, 2)), Tensor(d.array(3, 1))), nn.Linear(2, 1).double()
    for p in θs.parameters():
        p.data = Tensor(d.array(*p.shape))
    L, momentum, steps = nn.functional.mse_loss, d.number(0, 0.9), range(5)

    def rule(parameters: Any) -> optim.Optimizer:
        return optim.SGD(parameters, lr=0.1, momentum=momentum)

    tuned = [numbers(transfer.fine_tune(lambda θ: L(θ(D[0]), D[1]), θs, rule, n).parameters()) for n in steps]
    θ = dict(θs.named_parameters())
    θʹ = {name: Tensor(0 * p.array, requires_grad=True) for name, p in θ.items()}
    learnt, updates = rule(θʹ.values()), []
    for _ in steps:
        updates.append(numbers(θʹ.values()))
        learnt.zero_grad()
        transfer.delta_loss(L, lambda x, θ: nn.utils.functional_call(θs, θ, x), θ, θʹ, D).backward()
        learnt.step()
    return {"θ": numbers(θ.values()), "θʹ": np.stack(updates)}, np.stack(tuned)


def numbers(parameters: Any) -> Any:
    """All numbers of parameters in a row."""
    return np.concatenate([p.array.ravel() for p in parameters])
