"""How tasks relate: by labels, features and objectives."""

from functools import partial
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw
from minimtl.mtl.relatedness.features import aligned, distance
from minimtl.mtl.relatedness.grouping import score
from minimtl.mtl.relatedness.labels import (
    correlation_ratio,
    cramers_v,
    normalised_plug_in,
    of_both,
    of_numbers,
    pearson,
    plug_in,
    shares,
)
from minimtl.mtl.relatedness.objectives import affinity


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


def bowl(a: float, c: Array, φ: Any) -> Any:
    """1 + a Σ (φ − c)², of numbers and of Tensors."""
    return 1 + a * sum((p - q) ** 2 for p, q in zip(φ, c, strict=True))


@evaluated(
    "mtl.affinity",
    wrong=[
        (r"\eta \frac", r"\frac"),
        (r"L_j(\phi - ", r"L_i(\phi - "),
        (r"{L_j(\phi)}", r"{L_i(\phi)}"),
        ("1 - ", ""),
    ],
)
def helped(d: Draw) -> Drawn:
    """Losses that are bowls, whose derivatives 2 a (φ − c) are known."""
    P, η = d.size(), float(d.shares()) / 4
    bowls = [(d.number(0.5, 2), d.array(P)) for _ in range(d.size(2))]
    φ, L = d.distinct(P), [partial(bowl, a, c) for a, c in bowls]
    shared = Tensor(φ.copy(), requires_grad=True)

    def losses() -> dict[str, Tensor]:
        return {str(k): l([shared[i] for i in range(P)]) for k, l in enumerate(L)}

    values = {"L": L, "φ": φ, "η": η, "dLi_dφ": np.stack([2 * a * (φ - c) for a, c in bowls])}
    return values, affinity(losses, [shared], η).matrix


@evaluated("mtl.grouping", wrong=[("[i \\ne j] ", ""), ("[n_j = 1] ", ""), ("n_j - 1, 1", "n_j, 1")])
def grouped(d: Draw) -> Drawn:
    """Groups of four tasks."""
    M, g = d.array(4, 4), d.indices(3, 4)
    return {"M": M, "g": g}, score(M, g)


def classes(d: Draw, N: int) -> Array:
    """Classes 0 and 1 of N samples, each occurring three times or more."""
    return np.concatenate([[0, 0, 0, 1, 1, 1], d.indices(2, N - 6)])


@evaluated("mtl.mutual_information.normalised", wrong=[(r"\sqrt{I(a, a) I(b, b)}", "I(a, a)"), ("I(b, b)", "I(a, b)")])
def normalised(d: Draw) -> Drawn:
    """Classes of two tasks, and I as a function of all labels of two."""
    a, b = classes(d, 9), classes(d, 9) + d.integers(0, 1, (9,))

    def information(u: Any, v: Any) -> float:
        return plug_in(shares(np.array(u.entries), np.array(v.entries)))

    return {"a": a, "b": b, "I": information}, normalised_plug_in(a, b)


@evaluated(
    "mtl.mutual_information.numbers",
    wrong=[
        ("H_{k-1}", "H_k"),
        (r"\frac{1}{N} \sum_{i=1}^{N} (H", r"\sum_{i=1}^{N} (H"),
        (r"|y_i - y_j| < ", r"|y_i - y_j| \le "),
        (r"\max(|x_i", r"\min(|x_i"),
        ("> k", r"\ge k"),
        (r"\frac{1}{q}", r"\frac{1}{q + 1}"),
    ],
)
def of_two_numbers(d: Draw) -> Drawn:
    """Numbers of two tasks."""
    N, k = d.integer(5, 8), d.integer(1, 3)
    x, y = d.distinct(N), d.distinct(N)
    return {"x": x, "y": y, "k": k}, of_numbers(x, y, k)


@evaluated(
    "mtl.mutual_information.mixed",
    wrong=[
        ("H_{k-1}", "H_k"),
        (r"|x_i - x_j| \le \varepsilon_i", r"|x_i - x_j| < \varepsilon_i"),
        (r"c_l = c_i \land ", ""),
        ("> k", r"\ge k"),
        ("H_{s_i - 1}", "H_{s_i}"),
    ],
)
def of_number_and_class(d: Draw) -> Drawn:
    """Numbers of one task and classes of another."""
    N, k = d.integer(6, 9), d.integer(1, 2)
    x, c = d.distinct(N), classes(d, N)
    return {"x": x, "c": c, "k": k}, of_both(x, c, k)
