"""Weighting the tasks: losses, gradients and turns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl import mtl
from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw
from minimtl.mtl.fusion import averaged
from minimtl.mtl.gradients import jacobian
from minimtl.mtl.schedule import annealed, proportions
from minimtl.mtl.weighting.base import Batch, Weighting, normalised
from minimtl.mtl.weighting.fixed import shares
from minimtl.mtl.weighting.fixed import ε as ε_gls
from minimtl.mtl.weighting.history import dwa, priority
from minimtl.mtl.weighting.learnt import balance, famo
from minimtl.mtl.weighting.learnt import ε as ε_famo


def names(K: int) -> list[str]:
    """ "1", "2", …"""
    return [str(k) for k in range(1, K + 1)]


def objective(weighting: Weighting, L: Any) -> float:
    """F of the losses, in float64."""
    return float(weighting({k: Tensor(np.array(loss)) for k, loss in zip(names(len(L)), L, strict=True)}).item())


def begun(weighting: Weighting, K: int, own: str = "", value: Any = None) -> Weighting:
    """The weighting of K tasks, one of its parameters set."""
    weighting.begin(names(K))
    if own:
        getattr(weighting, own).data = Tensor(value)
    return weighting


@evaluated(
    "mtl.normalised_weights", wrong=[("K \\alpha_k", "\\alpha_k"), (r"\sum_{j=1}^{K} \alpha_j", r"\sum_{j=1}^{K} \alpha_k")]
)
def normalised_weights(d: Draw) -> Drawn:
    """Weights of mean 1."""
    α = d.positive(d.size(2))
    found = normalised(dict(zip(names(len(α)), α.tolist(), strict=True)))
    return {"α": α, "K": len(α)}, np.array(list(found.values()))


@evaluated("mtl.per_label", wrong=[("n_k L_k", "L_k"), (r"}{\sum_{j=1}^{K} n_j}", "}{K}")])
def per_label(d: Draw) -> Drawn:
    """Losses that are means over different numbers of labels."""
    L, K = d.positive(3), 3
    n = d.integers(1, 9, (K,)) + np.arange(K)
    weighting = begun(mtl.weighting.PerLabel(), K)
    weighting.observe(Batch(losses=dict.fromkeys(names(K), Tensor(L)), labels=dict(zip(names(K), n.tolist(), strict=True))))
    return {"L": L, "n": n, "K": K}, objective(weighting, L)


@evaluated("mtl.rlw", wrong=[(r"\sum_{j=1}^{K} e^{u_j}", "K e^{u_k}"), (r"\frac{e^{u_k}}", r"\frac{K e^{u_k}}")])
def rlw(d: Draw) -> Drawn:
    """Random numbers."""
    u = d.distinct(d.size(2))
    return {"u": u, "K": len(u)}, shares(u)


@evaluated(
    "mtl.gls", wrong=[("^{1/K}", ""), (r"\prod_{k=1}^{K}", r"\sum_{k=1}^{K}"), (r"L_k + \varepsilon", "L_1 + \\varepsilon")]
)
def gls(d: Draw) -> Drawn:
    """Losses; tiny ones too, so that ε shows."""
    L = d.positive(d.size(2)) * d.of(1.0, 1e-8)
    return {"L": L, "K": len(L), "ε": ε_gls}, objective(begun(mtl.weighting.GLS(), len(L)), L)


@evaluated("mtl.stch", wrong=[(r"\mu \ln", r"\ln"), ("w_k (L_k", "w_1 (L_k"), ("/ \\mu}", "}")])
def stch(d: Draw) -> Drawn:
    """Losses, ideals and preferences."""
    L, w, z, μ = d.positive(2), d.positive(2), d.array(2), d.number(0.5, 2)
    weighting = mtl.weighting.STCH(μ, *(dict(zip(names(2), v.tolist(), strict=True)) for v in (w, z)))
    return {"L": L, "w": w, "z": z, "μ": μ, "K": 2}, objective(begun(weighting, 2), L)


@evaluated(
    "mtl.dwa", wrong=[("K e^{w_k", "e^{w_k"), (r"\frac{L_k}{L'_k}", r"\frac{L'_k}{L_k}"), ("e^{w_j / T}", "e^{w_k / T}")]
)
def dynamic_average(d: Draw) -> Drawn:
    """The losses of two epochs."""
    K = d.size(2)
    L, before, T = d.positive(K), d.positive(K), d.number(0.5, 2)
    return {"L": L, "Lʹ": before, "T": T, "K": K}, dwa(L, before, T)


@evaluated("mtl.dtp", wrong=[(r"(1 - \kappa_k)^\gamma", r"(1 - \kappa_k)"), (r"\ln \kappa_k", r"\kappa_k")])
def dynamic_priority(d: Draw) -> Drawn:
    """Metrics in (0, 1)."""
    κ, γ = d.shares(d.size(2)), d.number(0.5, 2)
    return {"κ": κ, "γ": γ}, priority(κ, γ)


@evaluated("mtl.uncertainty", wrong=[("c_k e", "e"), (r"\frac{1}{2}", ""), ("L_k + s_k", "L_k + e^{s_k}")])
def uncertainty(d: Draw) -> Drawn:
    """Squared errors and cross-entropies."""
    L, s, c = d.positive(2), d.array(2), np.array([2.0, 1.0])
    weighting = begun(mtl.weighting.Uncertainty(classification=["1"]), 2, "s", s)
    return {"L": L, "s": s, "c": c, "K": 2}, objective(weighting, L)


@evaluated("mtl.imtl_l", wrong=[("e^{s_k} L_k", "s_k L_k"), ("- s_k", "- e^{s_k}")])
def imtl_l(d: Draw) -> Drawn:
    """Losses and their scales."""
    L, s = d.positive(2), d.array(2)
    return {"L": L, "s": s, "K": 2}, objective(begun(mtl.weighting.IMTLL(), 2, "s", s), L)


@evaluated(
    "mtl.gradnorm",
    wrong=[(r"r_k^\alpha|", "r_k|"), (r"\frac{1}{K} \sum", r"\sum"), ("w_k n_k", "n_k"), (r"w_j n_j", "n_j")],
)
def gradnorm(d: Draw) -> Drawn:
    """Norms of gradients and the progress of tasks; all gaps of one sign would hide one that is turned round."""
    K, α = d.size(2), d.number(0.5, 2)
    w, n, r = d.positive(K), d.positive(K), d.positive(K)
    return {"w": w, "n": n, "r": r, "α": α, "K": K}, balance(Tensor(w), Tensor(n), Tensor(r), α).item()


@evaluated(
    "mtl.famo",
    wrong=[
        ("L_k - b_k", "L_k"),
        (r"\frac{c z_k}", r"\frac{z_k}"),
        (r"L_j - b_j + \varepsilon}}", r"L_j - b_j + \varepsilon} K}"),
    ],
)
def fast_adaptive(d: Draw) -> Drawn:
    """Losses near their bounds, so that ε shows."""
    K = d.size(2)
    z, gap, b = d.distributions(K), d.positive(K) * d.of(1.0, 1e-8), 0 * d.array(K)
    b = b + d.of(0.0, 0.0, -1.0) * (gap.max() > 0.1)
    return {"z": z, "L": b + gap, "b": b, "K": K, "ε": ε_famo}, famo(z, b + gap, b)


@evaluated("mtl.sampling", wrong=[(r"\frac{N_k^a}", r"\frac{N_k}"), (r"\sum_{j=1}^{K} N_j^a", "K N_k^a")])
def sampling(d: Draw) -> Drawn:
    """Data sets of different sizes."""
    N, a = d.integers(1, 1000, (d.size(2),)).astype(float), d.number(0, 1)
    return {"N": N, "a": a, "K": len(N)}, proportions(N, a)


@evaluated(
    "mtl.annealed_sampling", wrong=[("b + (c - b)", "(c - b)"), ("(c - b)", "c"), (r"\frac{e - 1}{E - 1}", r"\frac{e}{E}")]
)
def annealing(d: Draw) -> Drawn:
    """An epoch of several."""
    b, c, E = d.number(0, 1), d.number(0, 1), d.integer(2, 6)
    e = d.integer(1, E)
    return {"b": b, "c": c, "e": e, "E": E}, annealed(b, c, e, E)


@evaluated("mtl.jacobian", wrong=[(r"\partial \phi_i", r"\partial \phi_1"), (r"= \frac", r"= k \frac")])
def slopes(d: Draw) -> Drawn:
    """Losses of two tasks that share two tensors."""
    a, b = d.array(2, 3), d.array(2, 2)
    φ: Sequence[Tensor] = [Tensor(d.array(3), requires_grad=True), Tensor(d.array(2), requires_grad=True)]
    L = {k: (Tensor(a[i]) * φ[0]).sum() + (Tensor(b[i]) * φ[1]).sum() for i, k in enumerate(names(2))}
    return {"dLk_dφ": np.hstack([a, b])}, jacobian(L, φ)


@evaluated("mtl.weight_average", wrong=[("w_m", r"\frac{1}{M}"), (r"\theta_{m,i}", r"\theta_{1,i}")])
def weight_average(d: Draw) -> Drawn:
    """The same parameters of several models."""
    M = d.size(2)
    θ, w = d.array(M, 3), d.distributions(M)
    return {"θ": θ, "w": w, "M": M}, averaged(list(θ), w.tolist())
