"""Transfer between domains: how far apart features are, and how they are brought closer."""

from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, Values, evaluated, operation
from minimtl.equations.draw import Draw
from minimtl.transfer.adaptation.adversarial import domain_loss, ramp, reverse
from minimtl.transfer.adaptation.distances import deep_coral, mmd
from minimtl.transfer.adaptation.features import coral, kolmogorov_smirnov, standardise
from minimtl.transfer.adaptation.normalisation import statistics


def domains(d: Draw) -> tuple[Any, Any]:
    """Samples of two domains, of different sizes."""
    D = d.size()
    return d.distinct(3, D), d.distinct(4, D) * 2 + d.number(0.5, 1)


@evaluated("tl.standardise", wrong=[(r"x_{nd} - \mu_d", "x_{nd}"), (r"\frac{1}{M} \sum_{m=1}^{M} (", r"\sum_{m=1}^{M} (")])
def standardised(d: Draw) -> Drawn:
    """New samples, and those whose statistics count."""
    x, y = domains(d)
    return {"x": x, "y": y}, standardise(x, of=y)


@evaluated(
    "tl.kolmogorov_smirnov", wrong=[(r"x_{nd} \le", "x_{nd} <"), (r"y_{md} \le", "y_{md} <"), ("{M} \\sum", "{N} \\sum")]
)
def compared(d: Draw) -> Drawn:
    """Samples with equal numbers in them."""
    x, y = d.integers(-2, 2, (4, 2)) / 1.0, d.integers(-1, 3, (3, 2)) / 1.0
    return {"x": x, "y": y, "u": np.concatenate([x, y])}, kolmogorov_smirnov(x, y)


def root(C: Any) -> Any:
    """The symmetric root of a matrix that has one."""
    U, s, _ = np.linalg.svd(C)
    return U @ np.diag(np.sqrt(s)) @ U.T


@evaluated("tl.coral", wrong=[("W_{ab}", "R_{ab}"), ("R_{bj}", "W_{bj}"), (r"- \bar x_a", ""), ("m_j +", "")])
def recoloured(d: Draw) -> Drawn:
    """Samples of two features, and the roots of their covariances."""
    x, y, ε = d.distinct(5, 2), d.array(4, 2) + d.distinct(4, 2), d.number(0.1, 1)
    S, T = (np.cov(v.T) + ε * np.eye(2) for v in (x, y))
    return {"x": x, "y": y, "W": np.linalg.inv(root(S)), "R": root(T)}, coral(x, y, ridge=ε)


@evaluated(
    "tl.deep_coral",
    wrong=[
        ("{4 D^2}", "{4 D}"),
        ("{4 D^2}", "{D^2}"),
        (r"\frac{1}{N - 1}", r"\frac{1}{N}"),
        ("v_{ma} v_{mb}", "v_{ma} y_{ma}"),
    ],
)
def covariances(d: Draw) -> Drawn:
    """Two samples."""
    x, y = domains(d)
    return {"x": x, "y": y}, deep_coral(Tensor(x), Tensor(y)).item()


def kernels(d: Draw, unbiased: bool) -> Drawn:
    """Two samples, near enough for kernels to be neither 0 nor 1."""
    x, y = d.array(3, 2), d.array(2, 2) + d.distinct(2, 2) / 2
    α = d.positive(2)
    values = {"x": x, "y": y, "u": np.concatenate([x, y]), "α": α}
    return values, mmd(Tensor(x), Tensor(y), α.tolist(), unbiased).item()


WIDTHS = [(r"{2 \alpha_a s}", r"{\alpha_a s}"), (r"\frac{1}{P^2}", ""), ("(x_{id} - y_{jd})^2", "(x_{id} - x_{jd})^2")]


@evaluated("tl.mmd", wrong=[*WIDTHS, (r"\frac{1}{N^2}", r"\frac{1}{N}"), (r"\frac{2}{N M}", r"\frac{1}{N M}")])
def biased(d: Draw) -> Drawn:
    """All pairs."""
    return kernels(d, False)


@evaluated("tl.mmd.unbiased", wrong=[*WIDTHS, (r"[i \ne j] k(p", "k(p"), (r"\frac{1}{M (M - 1)}", r"\frac{1}{M^2}")])
def unbiased(d: Draw) -> Drawn:
    """Pairs of different samples."""
    return kernels(d, True)


def reversing(d: Draw) -> Values:
    """Numbers, and how much is turned round."""
    return {"x": d.array(3), "λ": d.number(0.1, 2)}


operation(
    "tl.reverse",
    reversing,
    lambda v: reverse(v.x, v.λ),
    {"": [("x_i", "2 x_i"), ("x_i", "x_i^2")], ".vjp": [(r"-\lambda", "-"), (r"\lambda G_i", r"\lambda^2 G_i")]},
)


@evaluated("tl.ramp", wrong=[(r"\gamma i / n", r"\gamma i"), ("{2}", "{1}"), ("a + (b", "(b")])
def ramped(d: Draw) -> Drawn:
    """A step of a run."""
    a, b, γ, i, n = d.number(0.1, 1), d.number(1, 2), d.number(1, 10), d.integer(1, 9), d.integer(10, 20)
    return {"a": a, "b": b, "γ": γ, "i": i, "n": n}, ramp(i, n, γ, a, b)


@evaluated(
    "tl.dann",
    wrong=[(r"\frac{1}{2 N}", r"\frac{1}{N}"), (r"\ln(1 - \sigma(v_m))", r"\ln \sigma(v_m)"), ("{2 M}", "{2 N}")],
)
def told_apart(d: Draw) -> Drawn:
    """Logits of two domains."""
    u, v = d.array(2), d.array(3)
    return {"u": u, "v": v}, domain_loss(Tensor(u), Tensor(v)).item()


@evaluated("tl.adabn", wrong=[(r"\frac{1}{N - 1}", r"\frac{1}{N}"), (r"(x_{ci} - \mu_c)^2", "x_{ci}^2")])
def replaced(d: Draw) -> Drawn:
    """Inputs of two channels, in three parts."""
    x = d.distinct(2, 5) + d.number(0.5, 1)
    n = d.integer(2, 4)
    return {"x": x}, statistics([x[:, :1], x[:, 1:n], x[:, n:]])[1]
