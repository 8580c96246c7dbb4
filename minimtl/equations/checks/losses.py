"""Losses: how far an input is from its target."""

from typing import Any

import numpy as np

import minimtl as mm
import minimtl.nn.functional as F
from minimtl.backend import Array
from minimtl.equations.checking import Values, operation
from minimtl.equations.draw import Draw


def pair(d: Draw) -> Values:
    """Input and target of one shape, of few different numbers, so that they are often equal: there the kink is."""
    n = d.size(2, 4)
    return {"x": d.integers(-4, 4, (n,)) / 2, "y": d.integers(-4, 4, (n,)) / 2}


operation(
    "nn.mse_loss",
    pair,
    lambda v: F.mse_loss(v.x, v.y),
    {
        "": [(r"\frac{1}{n}", ""), (r"\frac{1}{n}", r"\frac{1}{2n}"), ("^2", "")],
        ".vjp.x": [("{2}", "{1}"), ("{n}", "{1}"), ("G ", "")],
        ".vjp.y": [("{2}", "{1}"), ("{n}", "{1}"), ("x_i - y_i", "y_i - x_i")],
    },
)
operation(
    "nn.l1_loss",
    pair,
    lambda v: F.l1_loss(v.x, v.y),
    {
        "": [(r"\frac{1}{n}", ""), ("|x_i - y_i|", "(x_i - y_i)^2")],
        ".vjp.x": [("{n}", "{1}"), (r"\mathrm{sign}(x_i - y_i)", "(x_i - y_i)"), (r"\mathrm{sign}(x_i - y_i)", "")],
        ".vjp.y": [("{n}", "{1}"), ("x_i - y_i", "y_i - x_i")],
    },
)
operation(
    "nn.huber_loss",
    lambda d: {**pair(d), "δ": d.of(0.5, 0.75, 1.25, 2.0)},
    lambda v: F.huber_loss(v.x, v.y, delta=v.δ),
    {
        "": [(r"\frac{1}{2} u^2", "u^2"), (r"\frac{1}{2} \delta", r"\delta"), (r"\delta \, (", "("), (r"\frac{1}{n}", "")],
        ".vjp.x": [(r"\delta \, \mathrm", r"\mathrm"), (r"|u| \le", r"u \le"), ("{n}", "{1}")],
        ".vjp.y": [("x_i - y_i", "y_i - x_i"), (r"{cases} u", "{cases} 2 u")],
    },
)
operation(
    "nn.smooth_l1_loss",
    lambda d: {**pair(d), "β": d.of(0.0, 0.5, 0.75, 2.0)},
    lambda v: F.smooth_l1_loss(v.x, v.y, beta=v.β),
    {
        "": [(r"{2 \beta}", r"{\beta}"), (r"{2 \beta}", "{2}"), (r"\frac{1}{2} \beta", r"\frac{1}{2}"), (r"\frac{1}{n}", "")],
        ".vjp.x": [(r"\frac{u}{\beta}", "u"), (r"|u| <", "u <"), ("{n}", "{1}")],
        ".vjp.y": [("x_i - y_i", "y_i - x_i"), (r"\frac{u}{\beta}", r"\frac{u}{2 \beta}")],
    },
)


def distributions(d: Draw) -> Values:
    """Probabilities, and any numbers in the place of log-probabilities: equal ones would leave rounding errors to compare."""
    N, C = d.size(), d.size(2)
    return {"x": d.array(N, C), "t": d.distributions(N, C)}


operation(
    "nn.kl_div",
    distributions,
    lambda v: F.kl_div(v.x, v.t, "batchmean"),
    {
        "": [
            ("{1}{N}", "{1}{N C}"),
            (r"t_{nk} \, (", "("),
            ("- x_{nk}", "- e^{x_{nk}}"),
            (r"t_{nk} \, (", r"e^{x_{nk}} \, ("),
        ],
        ".vjp.x": [("{N}", "{N C}"), ("t_{nk}", "e^{x_{nk}}")],
        ".vjp.t": [("{N}", "{N C}"), ("+ 1 ", "")],
    },
)


def chances(d: Draw) -> Values:
    """Probabilities, targets from 0 to 1 with both ends, and weights."""
    n = d.size(2, 4)
    return {"p": d.shares(n), "y": d.integers(0, 4, (n,)) / 4, "w": d.positive(n)}


operation(
    "nn.binary_cross_entropy",
    chances,
    lambda v: F.binary_cross_entropy(v.p, v.y, v.w, "none"),
    {
        "": [(r"w_i \, ", ""), ("(1 - y_i)", ""), (r"\ln(1 - p_i)", r"\ln p_i"), (r"y_i \ln p_i", r"p_i \ln y_i")],
        ".vjp.p": [(r"\, (1 - p_i)", ""), ("w_i ", ""), (r"{p_i \, (1 - p_i)}", "{1}")],
        ".vjp.y": [(r"\ln(1 - p_i)", r"\ln(1 - y_i)"), (r"w_i \, ", "")],
    },
)


def scores(d: Draw) -> Values:
    """Logits, targets from 0 to 1 with both ends, weights of the entries and of the positives of each class."""
    N, C = d.size(), d.size(2)
    return {"x": d.array(N, C), "y": d.integers(0, 4, (N, C)) / 4, "w": d.positive(N, C), "v": d.positive(C)}


operation(
    "nn.binary_cross_entropy_with_logits",
    scores,
    lambda v: F.binary_cross_entropy_with_logits(v.x, v.y, v.w, "none", v.v),
    {
        "": [
            (r"w_{nk} \, ", ""),
            ("v_k ", ""),
            (r"\ln(1 - \sigma(x_{nk}))", r"v_k \ln(1 - \sigma(x_{nk}))"),
            ("{-u}", "{-2 u}"),
        ],
        ".vjp.x": [("v_k ", ""), (r"\, (1 - \sigma(x_{nk}))", ""), (r"w_{nk} \, ", ""), (r"\, \sigma(x_{nk}) - ", "- ")],
        ".vjp.y": [("v_k ", ""), (r"w_{nk} \, ", ""), (r"\ln(1 - \sigma(x_{nk}))", r"\ln \sigma(x_{nk})")],
    },
)


def large(d: Draw, *shape: int) -> Array:
    """Logits, large ones too: e^{x} is a number, e^{2x} is none."""
    return d.array(*shape) + d.of(0, 600)


def labels(d: Draw) -> Values:
    """Logits, a label for each sample, weights of the classes, and a label that counts for nothing, a class or none.

    The first sample is not ignored, or there would be nothing to divide by.
    """
    N, C = d.size(2), d.size(2)
    ignored = d.of(-100, 0)
    y = np.where(d.indices(2, N) == 0, ignored, d.indices(C, N))
    y[0] = d.integer(1, C - 1)
    return {"x": large(d, N, C), "y": y, "w": d.positive(C), "I": ignored}


def ignoring(v: Any) -> dict[str, Any]:
    """The label that counts for nothing, left out where it is −100, which the default must be."""
    return {} if v.I == -100 else {"ignore_index": v.I}


operation(
    "nn.cross_entropy",
    labels,
    lambda v: F.cross_entropy(v.x, v.y, v.w, **ignoring(v)),
    {
        "": [
            (r"\frac{1}{W}", ""),
            (r"\frac{1}{W}", r"\frac{1}{N}"),
            (r"w_{y_n} \ln", r"\ln"),
            (r"[y_n \ne I] \, w_{y_n} \ln", r"w_{y_n} \ln"),
            ("e^{x_{nk}}", "x_{nk}"),
            (r"e^{x_{n,y_n}}", "e^{x_{n,n}}"),
        ],
        ".vjp": [
            ("{G}{W}", "{G}{N}"),
            (r"[y_n \ne I] \, w_{y_n} \left", r"w_{y_n} \left"),
            (r"w_{y_n} \left", r"w_k \left"),
            ("- [k = y_n]", ""),
            ("e^{x_{nj}}", "e^{x_{nk}}"),
        ],
    },
    constants="w",
)
operation(
    "nn.nll_loss",
    labels,
    lambda v: F.nll_loss(v.x, v.y, v.w, **ignoring(v)),
    {
        "": [
            (r"\frac{1}{W}", ""),
            (r"\frac{1}{W}", r"\frac{1}{N}"),
            ("w_{y_n} x", "x"),
            (r"[y_n \ne I] \, w_{y_n} x", "w_{y_n} x"),
            ("x_{n,y_n}", "e^{x_{n,y_n}}"),
        ],
        ".vjp": [("{G}{W}", "{G}{N}"), (r"[k = y_n \ne I]", "[k = y_n]"), (r"[k = y_n \ne I]", ""), (r"w_k", "1")],
    },
    constants="w",
)


def probable(d: Draw) -> Values:
    """Probabilities, and a label for each sample."""
    N, C = d.size(), d.size(2)
    return {"p": d.distributions(N, C), "y": d.indices(C, N)}


operation(
    "nn.nll_loss.of_probabilities",
    probable,
    lambda v: F.nll_loss(mm.log(v.p), v.y),
    {"": [(r"\frac{1}{N} ", ""), (r"\ln p", "p")], ".vjp": [(r"\frac{[k = y_n]}{p_{nk}}", "[k = y_n]"), ("[k = y_n]", "1")]},
)


def smoothed(d: Draw) -> Values:
    """Logits, a label for each sample, weights of the classes, and how much the labels are smoothed."""
    N, C = d.size(), d.size(2)
    return {"x": large(d, N, C), "y": d.indices(C, N), "w": d.positive(C), "ε": d.number(0.125, 0.875)}


operation(
    "nn.label_smoothing",
    smoothed,
    lambda v: F.cross_entropy(v.x, v.y, v.w, label_smoothing=v.ε),
    {
        "": [
            (r"(1 - \varepsilon) [", "["),
            (r"\frac{\varepsilon}{C}", r"\frac{\varepsilon}{C - 1}"),
            (r"\frac{1}{W}", r"\frac{1}{N}"),
            ("w_k q_{nk}", r"w_{y_n} q_{nk}"),
            (r"\sum_{n=0}^{N-1} w_{y_n}", r"\sum_{n=0}^{N-1} \sum_{k=0}^{C-1} w_k q_{nk}"),
        ],
        ".vjp": [
            (r"\sum_{j=0}^{C-1} w_j q_{nj}", ""),
            ("w_k q_{nk}", "w_{y_n} q_{nk}"),
            (r"\frac{\varepsilon}{C}", r"\varepsilon"),
            ("{G}{W}", "{G}{N}"),
        ],
    },
    constants="w",
)


def soft(d: Draw) -> Values:
    """Logits, and targets for every class, of any sum; one is 0, or q might be the softmax, and the derivative rounding errors."""
    N, C = d.size(), d.size(2)
    q = d.integers(0, 4, (N, C)) / 4
    q[:, d.integer(0, C - 1)] = 0
    return {"x": large(d, N, C), "q": q}


operation(
    "nn.soft_cross_entropy",
    soft,
    lambda v: F.cross_entropy(v.x, v.q, reduction="none"),
    {
        "": [("q_{nk} ", ""), ("e^{x_{nj}}", "x_{nj}"), (r"\sum_{k=1}^{C} q", r"\frac{1}{C} \sum_{k=1}^{C} q"), (r"\ln ", "")],
        ".vjp.x": [(r"\sum_{j=1}^{C} q_{nj}", ""), ("- q_{nk}", ""), ("g_n ", ""), ("e^{x_{nj}}", "e^{x_{nk}}")],
        ".vjp.q": [(r"\ln ", ""), ("g_n ", ""), ("e^{x_{nj}}", "e^{x_{nk}}")],
    },
)
