"""Aggregating the gradients: one direction from the rows of the Jacobian."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minimtl.equations.checking import Drawn, evaluated, holds
from minimtl.equations.draw import Draw
from minimtl.mtl.aggregation.base import combination, cosines, gramian
from minimtl.mtl.aggregation.conflict import PCGrad, one_sign, vaccine
from minimtl.mtl.aggregation.optimal import agreed, shortest, toward
from minimtl.mtl.aggregation.spectral import as_long, balance, equiangular, of_sum_one


def rows(d: Draw, K: int, P: int) -> Any:
    """Gradients that are independent, as a rule."""
    return d.array(K, P) + np.eye(K, P)


@evaluated("mtl.gramian", wrong=[("J_{ki}", "J_{ji}"), (r"\sum_{i=1}^{P}", r"\frac{1}{P} \sum_{i=1}^{P}")])
def products(d: Draw) -> Drawn:
    """Some gradients."""
    J = d.array(d.size(2), d.size(2))
    return {"J": J}, gramian(J)


@evaluated("mtl.combination", wrong=[("w_k J", "J"), ("w_k", "w_1")])
def combined(d: Draw) -> Drawn:
    """Gradients and weights."""
    w, J = d.array(2), d.array(2, 3)
    return {"w": w, "J": J}, combination(w, J)


@evaluated("mtl.gradient_cosine", wrong=[(r"\sqrt{G_{jj}} ", ""), (r"\sqrt{G_{kk}}", "G_{kk}")])
def angles(d: Draw) -> Drawn:
    """Gradients that are not 0."""
    J = rows(d, 2, 3)
    return {"G": J @ J.T}, cosines(J @ J.T)


@evaluated("mtl.pcgrad", wrong=[(r"\min(G_{1,2}, 0)", "G_{1,2}"), (r"}{G_{1,1}}", r"}{G_{2,2}}"), (r"\min(G_{2,1}, 0)", "0")])
def projections(d: Draw) -> Drawn:
    """Two gradients, whether they agree or not."""
    J = rows(d, 2, 2)
    return {"J": J, "G": J @ J.T}, PCGrad()(J)


@evaluated(
    "mtl.gradvac", wrong=[(r"\rho \sqrt{1 - \hat\rho^2})", r"\rho)"), (r"{m \sqrt", r"{\sqrt"), (r"\frac{n (", r"\frac{(")]
)
def vaccination(d: Draw) -> Drawn:
    """Lengths, a cosine and the cosine that is wanted."""
    n, m, ρ, wanted = d.number(0.5, 2), d.number(0.5, 2), d.number(-0.9, 0.9), d.number(-0.9, 0.9)
    return {"n": n, "m": m, "ρ": ρ, "ρ̂": wanted}, vaccine(n, m, ρ, wanted)


@evaluated(
    "mtl.graddrop",
    wrong=[("[J_{ki} > 0] [p_i > u_i]", "[p_i > u_i]"), (r"\frac{1}{2} (1", "(1"), (r"[p_i \le u_i]", r"[p_i > u_i]")],
)
def drops(d: Draw) -> Drawn:
    """Gradients and what was drawn for each entry."""
    J, u = d.distinct(3, 4), d.shares(4)
    return {"J": J, "u": u}, one_sign(J, u)


@evaluated("mtl.mgda", wrong=[(r"\min_{1 \le k \le K}", r"\max_{1 \le k \le K}"), ("w_k G_{kj} w_j", "G_{kj} w_j")])
def shortest_combination(d: Draw) -> Drawn:
    """Gradients, and the square of the shortest combination."""
    J = rows(d, 3, 3)
    w = shortest(J @ J.T)
    return {"G": J @ J.T, "w": w, "K": 3}, float(((w @ J) ** 2).sum())


@evaluated(
    "mtl.cagrad",
    wrong=[
        (r"\frac{1}{K} + ", ""),
        (r"\kappa w_k", "w_k"),
        (r"\sqrt{\sum_{i=1}^{K} \sum_{j=1}^{K} w_i G_{ij} w_j}", r"\sum_{i=1}^{K} \sum_{j=1}^{K} w_i G_{ij} w_j"),
    ],
)
def conflict_averse(d: Draw) -> Drawn:
    """Weights of the dual, gradients and the radius."""
    J, w, κ = rows(d, 2, 2), d.distributions(2), d.number(0.1, 2)
    return {"w": w, "G": J @ J.T, "κ": κ}, toward(w, J @ J.T, κ)


@evaluated("mtl.nash", wrong=[(r"\frac{1}{\sum_{j=1}^{K} G_{kj} \alpha_j}", r"\frac{1}{G_{kk} \alpha_k}")], tolerance=1e-8)
def bargained(d: Draw) -> Drawn:
    """Independent gradients."""
    J = rows(d, 2, 3) + 3 * np.eye(2, 3)
    α = agreed(J @ J.T)
    return {"G": J @ J.T, "α": α}, α


def doubled(u: Any, G: Any) -> Any:
    """Too far."""
    return 2 * u


def unmoved(u: Any, G: Any) -> Any:
    """Not projected."""
    return u


def plain(u: Any, G: Any) -> Any:
    """Σⱼ of all that is opposed, as if one were not to change the other."""
    return u + np.maximum(-G @ u, 0) / np.diag(G)


@holds("mtl.upgrad", wrong=[doubled, unmoved, plain])
def projected_on_cone(d: Draw, f: Callable[..., Any]) -> float:
    """v ≥ u, Gv ≥ 0, and of each pair one is 0."""
    J = rows(d, 3, 4)
    G, u = J @ J.T, np.eye(3)[d.integer(0, 2)]
    v = f(u, G)
    above, slope = v - u, G @ v
    return float(max(-above.min(), -slope.min(), np.abs(above * slope).max(), 0.0))


@evaluated("mtl.equiangular", wrong=[("c_{kj} v_j", "c_{kj} v_k"), ("= 1", "= 2")])
def equal_angles(d: Draw) -> Drawn:
    """The cosines of independent gradients."""
    J = rows(d, 3, 3) + 3 * np.eye(3)
    c = cosines(J @ J.T)
    return {"c": c, "v": equiangular(c), "K": 3}, np.ones(3)


@evaluated("mtl.imtl_g", wrong=[(r"\sum_{j=1}^{K} a_j", "K"), (r"\frac{a_k}", r"\frac{1}")])
def equal_projections(d: Draw) -> Drawn:
    """Weights up to a factor."""
    a = d.positive(3)
    return {"a": a}, of_sum_one(a)


@evaluated("mtl.config", wrong=[("a_i G_{ij} a_j", "G_{ij} a_j"), ("{ij} a_j}{", "{ij}}{"), ("} a_k", "}")])
def conflict_free(d: Draw) -> Drawn:
    """Weights up to a factor, and independent gradients."""
    a, J = d.positive(2), rows(d, 2, 3)
    return {"a": a, "G": J @ J.T}, as_long(a, J @ J.T)


@evaluated("mtl.aligned", wrong=[(r"\frac{1}{\lambda} ", ""), ("G_{ij}", "G_{ii}"), ("B_{jl}", "B_{jj}")])
def alignment(d: Draw) -> Drawn:
    """Independent gradients."""
    J = rows(d, 2, 3) + 3 * np.eye(2, 3)
    G = J @ J.T
    return {"G": G, "B": balance(G), "λ": float(np.linalg.eigvalsh(G)[0]), "K": 2}, np.eye(2)
