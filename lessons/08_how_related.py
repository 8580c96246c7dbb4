# %% [markdown]
r"""
# How related must tasks be?

**Goal** Two regressions whose relatedness is a dial. Turn it, and see where training them together stops paying, for one trunk
and for mixtures of experts.

**Needs** Lesson 2.  **Time** 15 minutes.

**The mathematics** The synthetic tasks of Ma et al. (2018): $u_1 \perp u_2$ are unit vectors,

$$w_1 = c \, u_1, \quad w_2 = c \, (p \, u_1 + \sqrt{1 - p^2} \, u_2)$$

$$y_k = w_k^\top x + \sum_{i=1}^{m} \sin(\alpha_i w_k^\top x + \beta_i)$$

with a little noise: the cosine of $w_1$ and $w_2$ is $p$. At $p = 1$ the tasks are one. Hard sharing (`mtl.hard_sharing`) makes
both see the same features. In a mixture of experts (`mtl.mmoe`) each task has a gate that takes its share of several trunks; in
CGC (`mtl.cgc`) some experts belong to a task alone. Whether a task loses by company is said by its difference to training alone,
paired over seeds, with its interval (`mtl.interval`).
"""

# %%
import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import mtl, nn, optim
from minimtl.mtl.evaluation import interval, negative_transfer
from minimtl.training import Table, read, say

TABLES = Path(__file__).parent / "tables"
TASKS = ("1", "2")
DIALS = (0.0, 0.25, 0.5, 0.75, 1.0)
D, M, C, WIDTH = 20, 4, 1.0, 8
N, EPOCHS, RATES, SEEDS = 250, 80, (3e-3, 1e-2), range(6)


# %%
def problem(p: float, seed: int) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """{task: batches (x, y)} for training and for testing: every task has inputs of its own, so that company brings it more of them."""
    rng = np.random.default_rng(seed)
    u = np.linalg.qr(rng.standard_normal((D, 2)))[0].T
    w = C * np.stack([u[0], p * u[0] + np.sqrt(1 - p * p) * u[1]])
    α, β = rng.standard_normal((2, M))
    parts: list[dict[str, list[Any]]] = []
    for n, size in ((N, 50), (2000, 2000)):
        parts.append({})
        for k, wk in zip(TASKS, w, strict=True):
            x = rng.standard_normal((n, D))
            s = x @ wk
            y = s + np.sin(s[:, None] * α + β).sum(axis=1) + 0.01 * rng.standard_normal(n)
            x32, y32 = (mm.tensor(v.astype(np.float32)) for v in (x, y[:, None]))
            parts[-1][k] = [(x32[i : i + size], y32[i : i + size]) for i in range(0, n, size)]
    return parts[0], parts[1]


def trunk() -> nn.Module:
    """One layer of 8, with tanh: of so few ReLUs some runs lose all."""
    return nn.Sequential(nn.Linear(D, WIDTH), nn.Tanh())


def heads(*tasks: str) -> dict[str, nn.Module]:
    """A linear layer for each task."""
    return {k: nn.Linear(WIDTH, 1) for k in tasks}


VARIANTS: dict[str, Callable[[], mtl.Sharing]] = {
    "alone": lambda: mtl.SoftSharing({k: trunk() for k in TASKS}, heads(*TASKS)),
    "hard sharing": lambda: mtl.HardSharing(trunk(), heads(*TASKS)),
    "MMoE": lambda: mtl.MMoE(trunk, D, heads(*TASKS), experts=3),
    "CGC": lambda: mtl.CGC(trunk, D, heads(*TASKS), shared=1, own=1),
}


def fitted(name: str, p: float, seed: int, lr: float) -> dict[str, float]:
    """{task: mean squared error on test data over the variance of its targets}"""
    train, test = problem(p, seed)
    mm.manual_seed(seed)
    model = VARIANTS[name]()
    tasks = [mtl.Task(k, nn.MSELoss(), metrics=["r2"]) for k in TASKS]
    trainer = mtl.Trainer(model, tasks, optim.Adam(model.parameters(), lr=lr))
    trainer.fit(train, EPOCHS, verbose=False)
    found = trainer.evaluate(test)
    return {k: 1 - found[f"{k} r2"] for k in TASKS}


def best(name: str, p: float, seeds: Any) -> dict[str, list[float]]:
    """{task: its error from each seed}, every task of a variant at the better of two rates."""
    runs = {lr: [fitted(name, p, seed, lr) for seed in seeds] for lr in RATES}
    chosen = {k: min(RATES, key=lambda lr: float(np.mean([r[k] for r in runs[lr]]))) for k in TASKS}
    together = min(RATES, key=lambda lr: float(np.mean([list(r.values()) for r in runs[lr]])))
    return {k: [r[k] for r in runs[chosen[k] if name == "alone" else together]] for k in TASKS}


def study(seeds: Any) -> Table:
    """All variants at all dials."""
    about = (
        f"Error on test data over the variance of the targets, the mean of both tasks; {len(list(seeds))} seeds, ± half of a 95 % "
        f"interval; {N} samples a task, {EPOCHS} epochs, Adam at the better of {RATES}, alone for each task. Verdicts are of task 1 / "
        "task 2 against alone"
    )
    verdicts = [f"{name}: verdict" for name in VARIANTS if name != "alone"]
    table = Table("Relatedness as a dial", ["p", *VARIANTS, *verdicts], about)
    for p in DIALS:
        errors = {name: best(name, p, seeds) for name in VARIANTS}
        cells = [interval(np.mean(list(by.values()), axis=0).tolist()) for by in errors.values()]
        reports = [negative_transfer(by, errors["alone"], "mse") for name, by in errors.items() if name != "alone"]
        said = [" / ".join(r.verdict(k) for k in TASKS) for r in reports]
        table.add(f"{p:.2f}", *(f"{i.mean:.3f} ± {i.half:.3f}" for i in cells), *said)
        say(f"{table.rows[-1]}")
    return table


def picture(table: Table, out: Path) -> Path:
    """The errors against the dial."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    panel = figure.subplots()
    p = [float(row[0]) for row in table.rows]
    for i, name in enumerate(VARIANTS):
        means, halves = zip(*([float(v) for v in row[1 + i].split(" ± ")] for row in table.rows), strict=True)
        panel.errorbar(p, means, halves, marker="o", capsize=3, label=name)
    panel.set(xlabel="p, the cosine of the tasks' weights", ylabel="error / variance", ylim=(0, None))
    panel.grid(alpha=0.3)
    panel.legend()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "relatedness.png", dpi=110)
    return out / "relatedness.png"


# %% [markdown]
r"""
**You should see** CLAIMS

**Your turn** Make the trunk 64 wide. From which $p$ on does hard sharing pay now, and what does that say about "related"?
"""


# %%
def main(out: str | Path = "out") -> dict[str, float]:
    """Alone and together at both ends of the dial, one seed; then the table of the full study."""
    found = {}
    for p in (0.0, 1.0):
        for name in ("alone", "hard sharing"):
            found[f"{name}, {p}"] = float(np.mean(list(fitted(name, p, 0, RATES[1]).values())))
            say(f"p = {p}: {name:12s} error/variance {found[f'{name}, {p}']:.3f}")
    table = read(TABLES / "relatedness_dial.md")
    say(f"\n{table.title}. {table.about}.\n{table.text()}\n{table.origin}")
    say(f"\nSaved {picture(table, Path(out))}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two tasks, and how related they must be.")
    parser.add_argument("--out", metavar="DIR", default="out", help="where the picture goes (out)")
    parser.add_argument("--study", action="store_true", help="the full study")
    options = parser.parse_args()
    if options.study:
        study(SEEDS).save(TABLES / "relatedness_dial.md", "python lessons/08_how_related.py --study")
    else:
        main(options.out)
