"""What tasks share: features, and penalties that keep parameters together."""

from typing import Any

import numpy as np

from minimtl import mtl, nn
from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw
from minimtl.mtl.sharing.attention import attended
from minimtl.mtl.sharing.experts import Level, mixture
from minimtl.mtl.sharing.soft import stitched


@evaluated("mtl.cross_stitch", wrong=[("A_{ts}", "A_{st}"), ("x_{si}", "x_{ti}")])
def stitches(d: Draw) -> Drawn:
    """The features of three columns."""
    A, x = d.array(3, 3), d.array(3, 4)
    y = stitched(Tensor(A), [Tensor(row.reshape(2, 2)) for row in x])
    return {"A": A, "x": x}, np.stack([t.array.ravel() for t in y])


@evaluated("mtl.mmoe", wrong=[("e^{a_{nh}}", "e^{a_{ni}}"), ("o_{inj}", "o_{1,n,j}")])
def mixtures(d: Draw) -> Drawn:
    """Gates and what the experts give."""
    a, o = d.array(2, 3), d.array(3, 2, 2)
    return {"a": a, "o": o, "E": 3}, mixture(Tensor(a), [Tensor(e) for e in o]).array


class Given(nn.Module):
    """An expert that gives what it was made with."""

    def __init__(self, value: Any) -> None:
        self.value = Tensor(value[None])

    def forward(self, x: Tensor) -> Tensor:
        return self.value


def level(d: Draw, last: bool) -> tuple[Any, Any, Any, Level]:
    """What two tasks' own experts give and the shared ones, the input of the gates, and the level."""
    m, s, n = d.integer(1, 2), d.integer(1, 2), 2
    o, c, x = d.array(2, m, n), d.array(s, n), d.array(1, 2)
    experts = iter([Given(v) for v in (*c, *o[0], *o[1])])
    return o, c, x, Level(lambda: next(experts), s, m, ["1", "2"], 2, last).double()


def shares(gate: Any, x: Any) -> Any:
    """The softmax of a gate."""
    e = np.exp(x[0] @ gate.weight.array.T)
    return e / e.sum()


@evaluated("mtl.cgc", wrong=[("g_{k,m+j}", "g_{k,j}"), ("o_{kji}", "o_{1,j,i}"), ("+ \\sum", "+ 2 \\sum")])
def customised(d: Draw) -> Drawn:
    """A level's features for two tasks."""
    o, c, x, model = level(d, last=True)
    z, _ = model({"1": Tensor(x), "2": Tensor(x)}, Tensor(x), ["1", "2"])
    g = np.stack([shares(model.gates[k], x) for k in ("1", "2")])
    return {"g": g, "o": o, "c": c, "m": o.shape[1], "s": len(c)}, np.stack([z[k].array[0] for k in ("1", "2")])


@evaluated("mtl.ple", wrong=[(r"h_{m \cdot K + j}", "h_{j}"), ("o_{kji}", "o_{1,j,i}"), ("+ \\sum", "+ 2 \\sum")])
def progressive(d: Draw) -> Drawn:
    """What the shared experts of the next level take."""
    o, c, x, model = level(d, last=False)
    _, y = model({"1": Tensor(x), "2": Tensor(x)}, Tensor(x), ["1", "2"])
    return {"h": shares(model.gate, x), "o": o, "c": c, "m": o.shape[1], "s": len(c), "K": 2}, y.array[0]


@evaluated("mtl.mtan", wrong=[("1 + e", "e"), (" p_{ncij}", "")])
def masks(d: Draw) -> Drawn:
    """Features and scores."""
    p, v = d.array(1, 2, 2, 1), d.array(1, 2, 2, 1)
    return {"p": p, "v": v}, attended(Tensor(p), Tensor(v)).array


# Penalties


def cut(θ: Any) -> list[Tensor]:
    """The numbers in two tensors."""
    return [Tensor(θ[:2].copy()), Tensor(θ[2:].reshape(1, -1).copy())]


def table(d: Draw) -> tuple[Any, dict[str, list[Tensor]]]:
    """Θ (K, P) as a matrix, and as parameters of tasks."""
    Θ = d.array(3, 4)
    return Θ, {str(k): cut(row) for k, row in enumerate(Θ)}


@evaluated("mtl.l1", wrong=[("|\\theta_i|", "\\theta_i")])
def absolute(d: Draw) -> Drawn:
    """Parameters of either sign."""
    θ = d.distinct(5)
    return {"θ": θ, "n": 5}, mtl.l1(cut(θ)).item()


@evaluated("mtl.l2", wrong=[(r"\frac{1}{2} ", ""), (r"\theta_i^2", r"\theta_i")])
def squares(d: Draw) -> Drawn:
    """Parameters of either sign."""
    θ = d.distinct(5)
    return {"θ": θ, "n": 5}, mtl.l2(cut(θ)).item()


@evaluated("mtl.l2_distance", wrong=[(r"\frac{1}{2} ", ""), (r"\frac{1}{K} ", ""), (" - m_i", "")])
def distance(d: Draw) -> Drawn:
    """Parameters of three tasks."""
    Θ, θ = table(d)
    return {"Θ": Θ, "K": 3, "P": 4}, mtl.l2_distance(θ).item()


@evaluated("mtl.group_lasso", wrong=[(r"\Theta_{ki}^2", r"\Theta_{ki}^2 K"), (r"\Theta_{ki}^2", r"\Theta_{1,i}^2")])
def groups(d: Draw) -> Drawn:
    """Parameters of three tasks."""
    Θ, θ = table(d)
    return {"Θ": Θ, "K": 3, "P": 4}, mtl.group_lasso(θ).item()


@evaluated("mtl.trace_norm", wrong=[("\\sigma_i", "\\sigma_i^2")])
def traces(d: Draw) -> Drawn:
    """Parameters of three tasks, and the singular values of their matrix."""
    Θ, θ = table(d)
    return {"σ": np.linalg.svd(Θ, compute_uv=False), "r": 3}, mtl.trace_norm(θ).item()
