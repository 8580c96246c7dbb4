# %% [markdown]
r"""
# Gradients in conflict: where the mean gradient gets stuck

**Goal** Two losses of a point in the plane whose gradients pull against each other. See where the mean gradient stops, where other
ways of mixing the two rows of the Jacobian lead, and that a larger learning rate changes the answer.

**Needs** Lesson 1 (the gradient of φ is a sum over tasks).  **Time** 15 minutes.

**The mathematics** Row $k$ of the Jacobian is the gradient of task $k$, and a method makes one direction $d$ of the rows:

$$J_{k,i} = \frac{\partial L_k}{\partial \phi_i} \qquad d = \sum_{k=1}^{K} w_k \, g_k$$

`mtl.jacobian` is the first. The mean takes $w_k = 1/K$; CAGrad (`mtl.cagrad`) looks near the mean for the direction that serves
the worst-off task best; MGDA (`mtl.mgda`) takes the shortest vector between the rows; PCGrad (`mtl.pcgrad`) takes out of each row
what opposes another; IMTL-G (`mtl.imtl_g`) wants equal projections on all of them, and Nash-MTL (`mtl.nash`) what bargainers
would agree on.

The problem is that of Liu et al. 2021 (CAGrad), $x \in \mathbb{R}^2$: two valleys of the logarithm above, and below them two bowls
whose minima lie apart. Where neither loss can fall without the other rising the point is Pareto optimal: here the line
$x_2 = -8.3552$ between $x_1 = -7$ and $7$; the mean loss is least in its middle.
"""

# %%
import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import mtl, optim
from minimtl.mtl import aggregation as A
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
THREE = ((-8.5, 7.5), (-8.5, -5.0), (9.0, 9.0))  # Liu et al. 2021
FIVE = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))  # Navon et al. 2022; L₁ counts a tenth there
FRONT = -8.3552  # x₂ of the Pareto front
STARTS, RATE, STEPS = THREE[0], 0.01, 1500  # of the run that the lesson makes


# %%
def losses(x: mm.Tensor) -> dict[str, mm.Tensor]:
    """L₁ and L₂ of points x (2, B), each (B,)."""
    a, b = x[0], x[1]
    valley1 = mm.log(mm.clip(mm.abs(0.5 * (-a - 7) - mm.tanh(-b)), 5e-6, None)) + 6
    valley2 = mm.log(mm.clip(mm.abs(0.5 * (-a + 3) + mm.tanh(-b) + 2), 5e-6, None)) + 6
    bowl1 = ((-a + 7) ** 2 + 0.1 * (-b - 8) ** 2) / 10 - 20
    bowl2 = ((-a - 7) ** 2 + 0.1 * (-b - 8) ** 2) / 10 - 20
    above, below = mm.clip(mm.tanh(0.5 * b), 0, None), mm.clip(mm.tanh(-0.5 * b), 0, None)
    return {"1": above * valley1 + below * bowl1, "2": above * valley2 + below * bowl2}


# %% [markdown]
r"""
**The loop** Written out, without a trainer: losses, Jacobian, a direction for each point, a step of Adam. A weighting (FAMO) takes
the place of the aggregation: it weighs the losses and never sees a gradient.
"""


# %%
def descend(
    starts: Any,
    method: Callable[[], A.Aggregation] | None,
    steps: int,
    lr: float = 1e-3,
    scale: float = 1.0,
    every: int = 100,
) -> Any:
    """The paths (steps/every + 1, B, 2) of points; scale multiplies L₁. Without a method it is FAMO that weighs the losses."""
    x = mm.tensor(np.array(starts, dtype=float).T).requires_grad_()  # (2, B)
    rule, B = optim.Adam([x], lr=lr), x.shape[1]
    mixers = [method() for _ in range(B)] if method else []
    famo = [] if method else [balancer(scale) for _ in range(B)]
    path = [x.numpy().T.copy()]
    for step in range(1, steps + 1):
        L = losses(x)
        if method:
            J = mtl.jacobian({k: loss.sum() for k, loss in L.items()}, [x]).reshape(2, 2, B)
            J[0] *= scale
            d = np.stack([mixer(J[:, :, i]) for i, mixer in enumerate(mixers)], axis=1)  # (2, B)
        else:
            α = [list(w.weights(one(L, i, scale)).values()) for i, w in enumerate(famo)]
            weights = mm.tensor(np.array(α).T)
            (g,) = mm.grad((weights[0] * scale * L["1"] + weights[1] * L["2"]).sum(), [x])
            d = g.numpy()
        x.grad = mm.tensor(d.copy())
        rule.step()
        for i, w in enumerate(famo):
            w.after_step(lambda i=i: one(losses(x.detach()), i, scale))
        if step % every == 0:
            path.append(x.numpy().T.copy())
    return np.array(path)


def balancer(scale: float) -> mtl.weighting.FAMO:
    """FAMO with the bounds of its authors: no loss here falls below −21."""
    weighting = mtl.weighting.FAMO(gamma=0, bounds={"1": -21.0 * scale, "2": -21.0})
    weighting.begin(["1", "2"])
    return weighting


def one(L: dict[str, mm.Tensor], i: int, scale: float) -> dict[str, mm.Tensor]:
    """The losses of point i."""
    return {"1": scale * L["1"].detach()[i], "2": L["2"].detach()[i]}


def on_front(x: Any) -> bool:
    """Whether a point lies on the Pareto front, to a tenth."""
    return bool(abs(x[1] - FRONT) < 0.1 and abs(x[0]) < 7.1)


# %% [markdown]
r"""
**The studies** From three starting points, 100,000 steps of Adam at 0.001; and from five, with $L_1$ scaled by a tenth, 35,000 steps
(FAMO 50,000), as the papers ran them.
"""

# %%
METHODS: dict[str, Callable[[], A.Aggregation]] = {
    "mean": A.Mean, "MGDA": A.MGDA, "PCGrad": A.PCGrad, "CAGrad": lambda: A.CAGrad(c=0.5),
}  # fmt: skip
SCALED: dict[str, Callable[[], A.Aggregation] | None] = {
    "mean": A.Mean, "MGDA": A.MGDA, "PCGrad": A.PCGrad, "CAGrad": lambda: A.CAGrad(c=0.4), "IMTL-G": A.IMTLG,
    "Nash-MTL": A.NashMTL, "FAMO": None,
}  # fmt: skip


def place(x: Any) -> str:
    """A point and whether it lies on the front."""
    return f"({x[0]:.2f}, {x[1]:.2f}){'' if on_front(x) else ' off the front'}"


COMMAND = "python lessons/05_gradients_in_conflict.py --study"


def three_points(steps: int = 100_000) -> dict[str, Any]:
    """The first table, saved; returns the paths."""
    paths, start = {}, time.perf_counter()
    about = f"Where {steps:,} steps of Adam(0.001) end; the least mean loss is at (0, {FRONT})"
    table = Table("CAGrad's problem from three starting points", ["method", *map(str, THREE)], about)
    for rate in (1e-3, 1e-2):
        for name, method in METHODS.items() if rate == 1e-3 else [("mean", A.Mean)]:
            label = name if rate == 1e-3 else f"{name}, rate {rate}"
            paths[label] = descend(THREE, method, steps, rate)
            table.add(label, *map(place, paths[label][-1]))
            say(f"{time.perf_counter() - start:6.0f} s  {label}")
    table.save(TABLES / "conflict_three.md", COMMAND)
    return paths


def five_points(scaled_steps: int = 35_000) -> None:
    """The second table, saved."""
    start = time.perf_counter()
    about = f"L1 counts a tenth; where {scaled_steps:,} steps of Adam(0.001) end, of FAMO {scaled_steps * 10 // 7:,}"
    table = Table("The same from five starting points, one loss scaled", ["method", *map(str, FIVE)], about)
    for name, m in SCALED.items():
        ends = descend(FIVE, m, scaled_steps if m else scaled_steps * 10 // 7, scale=0.1)[-1]
        table.add(name, *map(place, ends))
        say(f"{time.perf_counter() - start:6.0f} s  {name}, scaled")
    table.save(TABLES / "conflict_five.md", COMMAND)


# %%
def picture(paths: dict[str, Any], out: Path) -> Path:
    """The mean loss as contours, and the paths of each method from the three starting points."""
    from matplotlib.figure import Figure

    a, b = np.meshgrid(np.linspace(-10, 10, 161), np.linspace(-10, 10, 161))
    grid = losses(mm.tensor(np.stack([a.ravel(), b.ravel()])))
    mean = ((grid["1"] + grid["2"]) / 2).numpy().reshape(a.shape)
    figure = Figure(figsize=(3.4 * len(paths), 3.6), layout="constrained")
    for panel, (name, path) in zip(figure.subplots(1, len(paths), squeeze=False)[0], paths.items(), strict=True):
        panel.contour(a, b, mean, levels=24, colors="0.8", linewidths=0.6)
        panel.plot([-7, 7], [FRONT, FRONT], color="C2", linewidth=3, label="Pareto front")
        for i in range(path.shape[1]):
            panel.plot(*path[:, i].T, color=f"C{3 * (i % 2)}" if i < 2 else "C1", linewidth=1.2)
            panel.plot(*path[0, i], "o", color="0.3", markersize=4)
            panel.plot(*path[-1, i], "*", color="k", markersize=9)
        panel.set(title=name, xlabel="$x_1$", ylabel="$x_2$", xlim=(-10, 10), ylim=(-10, 10))
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "conflict.png", dpi=110)
    return out / "conflict.png"


# %% [markdown]
r"""
**You should see** The mean gradient stuck in two of three runs at the rate 0.001, where a valley's two walls pull in opposite
directions: one task's gradient is large there and the other's is not, and their mean swings across the valley instead of along it.
CAGrad reaches the least mean loss from all three. MGDA and PCGrad stop on the front, wherever they meet it: there is a direction
that serves both tasks no longer. At the rate 0.01 the mean gradient jumps the valley and arrives too: "the mean gradient gets stuck"
is a statement about a learning rate. With one loss scaled by ten the mean, PCGrad and CAGrad miss the front from
(9, 9), and the mean is slow from another point; MGDA, IMTL-G, Nash-MTL and FAMO, which do not mind scales, reach it from all five.

**Your turn** Write a method of your own: a function of J (2, 2) that returns a direction, and give it to `descend` as
`lambda: yours`. Does it reach the front from (9, 9)? What does it do where one row is 0?
"""


# %%
def main(steps: int = STEPS, out: str | Path = "out") -> dict[str, Any]:
    """Two methods from one starting point, live; then what the full studies found."""
    ends = {}
    paths = {}
    for name, method, rate in (
        ("mean", A.Mean, 1e-3),
        ("mean, rate 0.01", A.Mean, RATE),
        ("CAGrad, rate 0.01", A.CAGrad, RATE),
    ):
        paths[name] = descend([STARTS], method, steps, rate, every=10)
        ends[name] = paths[name][-1, 0]
        say(f"{name:18s} {steps:,} steps from {STARTS}: {place(ends[name])}")
    say(f"\nSaved {picture(paths, Path(out))}")
    for name in ("conflict_three", "conflict_five"):
        table = Table.read(TABLES / f"{name}.md")
        say(f"\n{table}")
    return ends


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Where gradients in conflict lead.")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the live run ({STEPS})")
    parser.add_argument("--out", metavar="DIR", default="out", help="where the picture goes (out)")
    parser.add_argument("--study", action="store_true", help="the full studies, about 35 minutes")
    options = parser.parse_args()
    if options.study:
        say(f"Saved {picture(three_points(), Path(options.out))}")
        five_points()
    else:
        main(options.steps, options.out)
