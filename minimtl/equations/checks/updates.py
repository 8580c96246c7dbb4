"""Transfer: updates beside a fixed θ, and penalties that keep what the source could."""

import numpy as np

from minimtl import nn, transfer
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equations.checking import Drawn, Values, evaluated, operation
from minimtl.equations.draw import Draw
from minimtl.ops import tanh
from minimtl.transfer.anchoring import anchored, from_start
from minimtl.transfer.behaviour import map_distance, smallest
from minimtl.transfer.replay import place
from minimtl.transfer.updates import beside, bottleneck, low_rank


def matrices(d: Draw, n: int, m: int) -> Values:
    """A and B of rank r, and what scales their product."""
    r = d.size(2)
    return {"A": d.array(r, n), "B": d.array(m, r), "α": d.number(0.5, 2), "p": d.of(0.5, 1.0)}


@evaluated("tl.lora", wrong=[(r"\frac{\alpha}{r^p} ", ""), (r"{r^p}", "{r}"), ("B_{ik} A_{kj}", "B_{ik} A_{1,j}")])
def product(d: Draw) -> Drawn:
    """Two thin matrices."""
    v = matrices(d, d.size(2), d.size(2))
    return v, low_rank(Tensor(v["A"]), Tensor(v["B"]), v["α"], v["p"]).array


@evaluated("tl.lora.output", wrong=[("y_{ni} +", ""), (r"{r^p}", "{r}"), ("A_{kj}", "A_{1,j}")])
def path(d: Draw) -> Drawn:
    """What a layer takes and gives."""
    n, m, N = d.size(2), d.size(2), d.size()
    v = {**matrices(d, n, m), "x": d.distinct(N, n), "y": d.array(N, m)}
    x, y, A, B = (Tensor(v[name]) for name in "xyAB")
    return v, beside(x, y, A, B, v["α"], v["p"]).array


@evaluated("tl.adapter", wrong=[("h_{ni} +", ""), (" + a_j", ""), ("D_{jk}", "D_{1,k}"), (" + b_i", "")])
def adapted(d: Draw) -> Drawn:
    """What a part gives, and both layers."""
    N, n, m = d.size(), d.size(2), d.size(2)
    v = {"h": d.distinct(N, n), "D": d.array(m, n), "a": d.array(m), "U": d.array(n, m), "b": d.array(n)}
    h, D, a, U, b = map(Tensor, v.values())
    return {**v, "σ": np.tanh}, bottleneck(h, D, a, U, b, tanh).array


def apart(d: Draw) -> tuple[Array, Array]:
    """Five numbers, and where they were."""
    return d.distinct(5), d.array(5) + 0.1


def cut(a: Array) -> list[Tensor]:
    """Its numbers in two tensors."""
    return [Tensor(a[:2]), Tensor(a[2:].reshape(1, -1))]


@evaluated(
    "tl.ewc", wrong=[(r"\frac{1}{2} ", ""), ("F_i ", ""), ("F_i ", "F_1 "), (r"(\theta_i - s_i)^2", r"(\theta_i - s_i)")]
)
def held(d: Draw) -> Drawn:
    """Parameters, where they were, and what they are worth."""
    θ, s = apart(d)
    F = d.positive(5)
    return {"θ": θ, "s": s, "F": F, "n": 5}, anchored(cut(θ), cut(s), cut(F)).item()


@evaluated("tl.l2_sp", wrong=[(r"\frac{\beta}{2}", r"\beta"), (" - s_i", ""), (r"\frac{\alpha}{2}", r"\frac{\beta}{2}")])
def started(d: Draw) -> Drawn:
    """Parameters that the source has, and new ones."""
    (w, s), v, α, β = apart(d), d.distinct(d.of(3, 4)), d.number(0.1, 1), d.number(1.5, 2)
    values = {"w": w, "s": s, "v": v, "α": α, "β": β, "n": 5, "m": len(v)}
    return values, from_start(cut(w), cut(s), cut(v), α, β).item()


@evaluated("tl.fisher", wrong=[(r"\frac{1}{N} ", ""), ("g_{nci}^2", "g_{nci}"), ("p_{nc} ", ""), ("p_{nc} ", r"\frac{1}{C} ")])
def informed(d: Draw) -> Drawn:
    """A linear model of classes, whose gradients are known: (pₐ − [a = c]) x_b."""
    N, C, D, labels = d.size(2), d.integer(2, 3), d.size(), d.of("model", "data")
    model = nn.Linear(D, C, bias=False).double()
    model.weight.data = Tensor(d.array(C, D))
    x, y = d.distinct(N, D), d.indices(C, N)
    e = np.exp(x @ model.weight.array.T)
    q = e / e.sum(axis=1, keepdims=True)
    g = np.stack([np.stack([np.outer(q[n] - np.eye(C)[c], x[n]).ravel() for c in range(C)]) for n in range(N)])
    F = transfer.fisher(model, [(Tensor(x), Tensor(y))], labels=labels)["weight"].array.ravel()
    return {"p": q if labels == "model" else np.eye(C)[y], "g": g}, F


@evaluated("tl.feature_maps", wrong=[(r"\frac{1}{2 N}", r"\frac{1}{2}"), (" w_j", ""), ("F_{nji} - S_{nji}", "F_{nji}")])
def maps(d: Draw) -> Drawn:
    """Maps of three channels."""
    N, P = d.size(2), d.size()
    F, S, w = d.distinct(N, 3, P), d.array(N, 3, P) + 0.1, d.positive(3)
    return {"F": F, "S": S, "w": w}, map_distance(Tensor(F), Tensor(S), Tensor(w)).item()


def features(d: Draw) -> Values:
    """A matrix whose singular values lie apart, and its singular vectors."""
    (n, m), r = d.of((3, 2), (2, 3), (3, 3)), 2
    r = min(n, m)
    (U, _), (V, _) = np.linalg.qr(d.array(n, n) + 4 * np.eye(n)), np.linalg.qr(d.array(m, m) + 4 * np.eye(m))
    U, V, σ = U[:, :r], V[:, :r], np.array([3.0, 2.0, 1.0])[:r] + d.shares(r) / 2
    return {"A": (U * σ) @ V.T, "U": U, "V": V, "σ": σ, "k": d.of(1, 2)}


operation(
    "tl.bss",
    features,
    lambda v: smallest(v.A, v.k),
    {"": [("r-k+1", "1"), ("\\right)^2", "\\right)")], ".vjp": [("2 G", "G"), (r"\sigma_j ", ""), ("r-k+1", "1")]},
    constants=("U", "V", "σ"),
)


@evaluated("tl.reservoir", wrong=[(r"t \le m", "t < m"), (r"\lfloor u t \rfloor", "u t"), (" + 1", "")])
def places(d: Draw) -> Drawn:
    """The place of a sample."""
    u, t, m = d.number(0, 1) * 255 / 256, d.integer(1, 8), d.integer(0, 4)
    return {"u": u, "t": t, "m": m}, place(u, t, m)
