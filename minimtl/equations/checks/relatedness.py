"""How tasks relate: by labels, features and objectives."""

import numpy as np

from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw
from minimtl.mtl.relatedness.features import aligned, distance
from minimtl.mtl.relatedness.grouping import score
from minimtl.mtl.relatedness.labels import correlation_ratio, cramers_v, pearson, plug_in
from minimtl.mtl.relatedness.objectives import gain


@evaluated(
    "mtl.label_correlation",
    wrong=[("u_i v_i", "u_i v_i^2"), (r"a_i - \frac{1}{N}", "a_i -"), ("u_i^2", "a_i^2")],
)
def correlated(d: Draw) -> Drawn:
    """Numbers of two tasks, off 0."""
    a, b = d.distinct(4) + d.number(0.5, 1), d.array(4) + 0.1 * np.arange(4) + d.number(0.5, 1)
    return {"a": a, "b": b}, pearson(a, b)


@evaluated("mtl.cramers_v", wrong=[(r"\frac{1}{q} ", ""), ("n_{ab}^2", "2 n_{ab}^2"), ("\\min(A, B)", "\\max(A, B)")])
def associated(d: Draw) -> Drawn:
    """Counts of pairs of classes, far from independent."""
    n = d.integers(1, 4, (3, 3)).astype(float) + np.eye(3) * 5
    n = n[:, : d.of(2, 3)]
    return {"n": n}, cramers_v(n)


@evaluated("mtl.correlation_ratio", wrong=[("[c_j = c_i] y_j", "y_j"), (r"(m_i - \bar y)^2", r"(m_i - y_i)^2")])
def ratio(d: Draw) -> Drawn:
    """Numbers and classes."""
    y, c = d.distinct(5) + d.number(0.5, 1), d.indices(3, 5)
    return {"y": y, "c": c}, correlation_ratio(y, c)


@evaluated("mtl.mutual_information", wrong=[(r"\frac{p_{ab}}{r_a c_b}", r"\frac{p_{ab}}{r_a}"), ("p_{ab} \\ln", "\\ln")])
def informed(d: Draw) -> Drawn:
    """Shares of pairs of classes."""
    p = d.positive(2, 3)
    return {"p": p / p.sum()}, plug_in(p / p.sum())


@evaluated("mtl.linear_cka", wrong=[("S_{ab}^2", "S_{ab}"), ("X_{na} Y_{nb}", "X_{na} X_{nb}"), ("U_{ab}^2", "V_{ab}^2")])
def alike(d: Draw) -> Drawn:
    """Two features of each sample."""
    X, Y = d.array(3, 2), d.array(3, 2) + np.eye(3, 2)
    return {"X": X, "Y": Y}, aligned(X, Y)


@evaluated("mtl.proxy_a_distance", wrong=[(r"2 \varepsilon", r"\varepsilon"), ("\\max(2 (", "\\max((")])
def apart(d: Draw) -> Drawn:
    """An error."""
    ε = d.number(0, 0.6)
    return {"ε": ε}, distance(ε)


@evaluated("mtl.affinity", wrong=[("1 - ", ""), (r"\frac{L'_j}{L_j}", r"\frac{L_j}{L'_j}")])
def gains(d: Draw) -> Drawn:
    """Losses before and after a step."""
    L, after = d.positive(3), d.positive(3)
    return {"L": L, "Lʹ": after}, gain(L, after)


@evaluated("mtl.grouping", wrong=[("[i \\ne j] ", ""), ("[n_j = 1] ", ""), ("n_j - 1, 1", "n_j, 1")])
def grouped(d: Draw) -> Drawn:
    """Groups of four tasks."""
    M, g = d.array(4, 4), d.indices(3, 4)
    return {"M": M, "g": g}, score(M, g)
