"""Small models, and looking inside; unseen classes."""

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw
from minimtl.transfer.compression import eight_bits, mask, norms
from minimtl.transfer.footprint import stored
from minimtl.transfer.looking import class_map, mean_magnitude, saliency
from minimtl.transfer.zero_shot import compatibility, harmonic_mean, solved


@evaluated(
    "tl.pruning",
    wrong=[(r"\ge k", r"> k"), ("|w_j| < |w_i|", "w_j < w_i"), ("j < i", r"j \le i"), (r" \lor |w_j| = |w_i| \land j < i", "")],
)
def pruned(d: Draw) -> Drawn:
    """Weights, of which some are equally large."""
    w = d.integers(-3, 3, (d.size(3, 6),)) / 2
    k = d.integer(0, len(w))
    return {"w": w, "k": k}, mask(w, k)


@evaluated("tl.filter_norm", wrong=[("_{fi}^2", "_{fi}"), (r"\sqrt{\sum_{i=1}^{n} w_{fi}^2}", r"\sum_{i=1}^{n} w_{fi}^2")])
def long(d: Draw) -> Drawn:
    """Filters as rows."""
    w = d.positive(d.size(), d.size(2))
    return {"w": w}, norms(w)


@evaluated("tl.int8", wrong=[("{127}", "{128}"), (r"\frac{1}{2}", r"\frac{1}{4}"), ("|w_{fj}|", "w_{fj}")])
def in_eight_bits(d: Draw) -> Drawn:
    """Rows of different size, none of them 0."""
    w = d.distinct(d.size(), d.size(2)) * d.number(0.1, 3)
    return {"w": w}, eight_bits(w)[0]


@evaluated(
    "tl.stored_bytes", wrong=[("n b,", "n,"), ("k b", "k"), (r"\lceil \frac{n}{8} \rceil", r"\lfloor \frac{n}{8} \rfloor")]
)
def kept(d: Draw) -> Drawn:
    """Numbers, some of them 0."""
    n, b = d.integer(1, 40), d.of(1, 4, 8)
    k = d.integer(0, n)
    return {"n": n, "b": b, "k": k}, stored(n, b, k)


@evaluated("tl.saliency", wrong=[(r"|\frac{\partial y_c}{\partial x_i}|", r"\frac{\partial y_c}{\partial x_i}")])
def salient(d: Draw) -> Drawn:
    """A network y = V tanh(W x), whose derivatives are known."""
    D, H, C = d.size(), d.size(2), d.size(2)
    W, V, x, c = d.array(H, D), d.array(C, H), d.array(D), d.integer(1, C)
    model = nn.Sequential(nn.Linear(D, H, bias=False), nn.Tanh(), nn.Linear(H, C, bias=False)).double()
    model.load_state_dict({"0.weight": W, "2.weight": V})
    slopes = V * (1 - np.tanh(W @ x) ** 2) @ W
    return {"dyc_dx": slopes, "c": c}, saliency(model, Tensor(x[None]), c - 1)[0]


@evaluated("tl.smooth_grad", wrong=[(r"\frac{1}{n} ", ""), ("|g_{ki}|", "g_{ki}")])
def smoothed(d: Draw) -> Drawn:
    """Derivatives at noisy copies."""
    g = d.array(d.size(2), d.size())
    return {"g": g}, mean_magnitude(g)


@evaluated(
    "tl.grad_cam",
    wrong=[(r"\frac{1}{H W}", r"\frac{1}{H}"), ("w_k A_{kuv}", "A_{kuv}"), (", 0)", ", -9)"), ("G_{kuv}", "A_{kuv}")],
)
def where(d: Draw) -> Drawn:
    """Channels and their derivatives."""
    K, H, W = d.size(), d.size(), d.size(2)
    A, G = d.array(K, H, W), d.array(K, H, W)
    return {"A": A, "G": G}, class_map(A, G)


@evaluated("tl.compatibility", wrong=[("u_{ni} a_{ci}", "u_{ni}"), ("z_{nd} W_{di}", "z_{nd}")])
def compatible(d: Draw) -> Drawn:
    """Features, W, and the attributes of classes."""
    N, D, A, C = d.size(), d.size(), d.size(2), d.size()
    z, W, a = d.array(N, D), d.array(D, A), d.array(C, A)
    return {"z": z, "W": W, "a": a}, compatibility(Tensor(z @ W), Tensor(a)).array


@evaluated(
    "tl.eszsl",
    wrong=[
        (r" + \gamma [d = k]", ""),
        (r" + \lambda [j = i]", ""),
        ("Y_{nc} S_{ci}", "S_{ci}"),
        ("S_{cj} S_{ci}", "S_{cj} S_{cj}"),
    ],
)
def closed_form(d: Draw) -> Drawn:
    """Features of samples of two classes or three."""
    N, D, A, C = 4, d.size(), d.size(2), d.size(2)
    Z, S = d.array(N, D), d.array(C, A)
    Y = np.eye(C)[d.indices(C, N)] * 2 - 1
    γ, λ = d.number(0.5, 2), d.number(0.5, 2)
    return {"Z": Z, "Y": Y, "S": S, "γ": γ, "λ": λ, "V": solved(Z, Y, S, γ, λ)}, Z.T @ Y @ S


@evaluated("tl.harmonic_mean", wrong=[("{2 s u}", "{s u}"), ("2 s u", "s + u")])
def both(d: Draw) -> Drawn:
    """Two accuracies."""
    s, u = float(d.shares()), float(d.shares())
    return {"s": s, "u": u}, harmonic_mean(s, u)
