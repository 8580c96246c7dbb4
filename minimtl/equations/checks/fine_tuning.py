"""Fine-tuning: the rates of layers and of steps."""

from minimtl import nn
from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.checks.schedules import sgd
from minimtl.equations.draw import Draw
from minimtl.transfer import SlantedTriangularLR, discriminative


@evaluated("tl.discriminative", wrong=[("n - l", "l"), ("n - l", "n - l + 1"), (r"\frac{\eta}{d^{n - l}}", r"\eta d^{n - l}")])
def discriminative_rates(d: Draw) -> Drawn:
    """One of the groups of a stack of layers."""
    n = d.integer(2, 5)
    η, decay, l = d.number(0.1, 2), d.number(1.5, 3), d.integer(1, n)
    groups = discriminative(nn.Sequential(*(nn.Linear(1, 1) for _ in range(n))), η, decay)
    return {"η": η, "d": decay, "n": n, "l": l}, groups[l - 1]["lr"]


@evaluated(
    "tl.slanted_triangular",
    wrong=[
        (r"\min(\frac{t}{c}, \frac{T - t}{T - c})", r"\frac{t}{c}"),
        ("T - t", "T"),
        ("p (r - 1)", "p r"),
        ("{T - c}", "{T}"),
    ],
)
def slanted_triangular(d: Draw) -> Drawn:
    """A schedule on a real optimiser, up or down."""
    η, T, cut, r = d.number(0.1, 2), d.integer(6, 20), d.number(0.2, 0.6), d.number(2, 40)
    schedule, t = SlantedTriangularLR(sgd(η), T, cut, r), d.integer(1, T - 1)
    for _ in range(t):
        schedule.step()
    return {"η": η, "T": T, "c": int(T * cut), "r": r, "t": t}, schedule.get_last_lr()[0]
