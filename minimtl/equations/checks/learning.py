"""Learning with attention, from teachers, and from few samples of a class."""

from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, Values, evaluated, operation
from minimtl.equations.checks.losses import ignoring, labels
from minimtl.equations.draw import Draw
from minimtl.mtl.distillation import soft_targets
from minimtl.mtl.imbalance import focal_loss, weights
from minimtl.ops.attention import attention


def looked(d: Draw) -> Values:
    """Queries, keys and values, and a mask of numbers."""
    A, B, E, D = (d.size(2) for _ in range(4))
    return {"Q": d.array(A, E), "K": d.array(B, E), "V": d.array(B, D), "M": d.array(A, B)}


def below(v: Any) -> Tensor:
    """Attention under three leading axes."""
    Q, K, V = (t.reshape(1, 1, 1, *t.shape) for t in (v.Q, v.K, v.V))
    Y, _ = attention(Q, K, V, v.M)
    return Y.reshape(Y.shape[3:])


ROOT = (r"\frac{1}{\sqrt{E}} \sum_{e=1}^{E} Q", r"\sum_{e=1}^{E} Q")
operation(
    "nn.attention",
    looked,
    below,
    {
        "": [ROOT, (r"\sum_{a=1}^{B} e^{S_{ia}}", "B e^{S_{ij}}"), ("M_{ij} +", "")],
        ".vjp.Q": [
            (r"(H_{ij} - \sum_{a=1}^{B} H_{ia} P_{ia})", "H_{ij}"),
            (r"= \frac{1}{\sqrt{E}} \sum_{j=1}^{B}", r"= \sum_{j=1}^{B}"),
        ],
        ".vjp.K": [
            (r"(H_{ij} - \sum_{a=1}^{B} H_{ia} P_{ia})", "H_{ij}"),
            (r"= \frac{1}{\sqrt{E}} \sum_{i=1}^{A}", r"= \sum_{i=1}^{A}"),
        ],
        ".vjp.V": [("P_{ij} G_{iv}", "G_{iv}")],
    },
    constants=("M",),
)


@evaluated("mtl.class_weights", wrong=[("{C n_c}", "{n_c}"), (r"\sum_{a=1}^{C} n_a", r"\sum_{a=1}^{C} n_a^2")])
def weighted(d: Draw) -> Drawn:
    """How many samples each class has."""
    n = d.integers(1, 9, (3,)) + np.arange(3.0)
    return {"n": n}, weights(n)


def focused(d: Draw) -> Values:
    """What cross-entropy is drawn with, and how much is looked at what is hard.

    Logits are above 0: then p, which the formula also writes for a label that is no class, is below 1, and 1 − p has a root.
    """
    values = labels(d)
    return {**values, "x": d.positive(*values["x"].shape), "γ": d.of(0.5, 1.5, 2.0, 3.0)}


operation(
    "nn.focal_loss",
    focused,
    lambda v: focal_loss(v.x, v.y, v.γ, v.w, **ignoring(v)),
    {
        "": [
            (r"(1 - p_n)^\gamma", ""),
            (r"\frac{1}{W}", r"\frac{1}{N}"),
            (r"w_{y_n} (1", "(1"),
            (r"[y_n \ne I] \, w_{y_n} (1", "w_{y_n} (1"),
            (r"\ln p_n", "p_n"),
        ],
        ".vjp": [
            (r"\gamma \frac{p_n", r"\frac{p_n"),
            ("{1 - p_n}", "{1}"),
            ("{G}{W}", "{G}{N}"),
            (r"[y_n \ne I] \, w_{y_n} (1", "w_{y_n} (1"),
        ],
    },
    constants=("w",),
)


@evaluated(
    "mtl.distillation", wrong=[(r"\frac{T^2}{N}", r"\frac{1}{N}"), ("q_{nc} \\ln", "p_{nc} \\ln"), ("t_{nc}/T", "t_{nc}")]
)
def taught(d: Draw) -> Drawn:
    """Logits of a student and of its teacher."""
    s, t, T = d.array(2, 3), d.array(2, 3), d.number(0.5, 3)
    found: Any = soft_targets(Tensor(s), Tensor(t), T)
    return {"s": s, "t": t, "T": T}, found.item()
