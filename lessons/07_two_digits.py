# %% [markdown]
r"""
# Two digits in one picture: fourteen ways of training two tasks

**Goal** Read both digits of a picture (MultiMNIST) with one trunk, by every weighting of losses and every aggregation of gradients
that the field proposes; and ask the question that comes before all of them: is it better than a network for each task?

**Needs** Lessons 2 and 5.  **Time** 20 minutes.

**The mathematics** A method turns K losses into one objective $F$, so that task $k$ has the weight $\alpha_k = \partial F /
\partial L_k$; or the K gradients of φ into one direction. Whether it pays is measured against each task alone:

$$d = \frac{1}{n} \sum_{m=1}^{n} s_m \frac{M_m - B_m}{B_m}$$

is the relative gain of a task over its baseline (`mtl.delta_m`), Δm the mean over tasks. The baselines are trained as long, and at
a learning rate of their own: to weigh two losses with 1 each is to train with more than one task's gradient, so a baseline at the
same rate would be at a disadvantage.
"""

# %%
import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import minimtl as mm
from minimtl import data, mtl, nn, optim
from minimtl.data import DataLoader, transforms
from minimtl.mtl import aggregation as A
from minimtl.mtl import weighting as W
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
RATES = (1e-3, 2e-3, 4e-3)  # tried for the baselines
RATE = 2e-3  # of all methods: the best of the three for the plain sum
SIZES, EPOCHS, SEEDS = (20_000, 10_000), 5, range(5)

# %% [markdown]
r"""
**The data** Every picture of MNIST is laid over another, six pixels up and to the left; the tasks are "left" and "right". Without
MNIST the digits are rendered from fonts.
"""


# %%
def pictures(root: str | None, sizes: tuple[int, int], seed: int) -> tuple[data.Dataset, data.Dataset, str]:
    """Training set, test set, and what they are."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    place, parts = data.mnist_folder(root), []
    for i, n in enumerate(sizes):
        digits = data.MNIST(place, train=i == 0) if place else data.RenderedDigits(n, seed=2 + i, labels="digit")
        pairs = data.MultiDigits(digits, transform, mm.Generator(10 + i))
        parts.append(data.Subset(pairs, mm.Generator(seed).rng.permutation(len(pairs))[:n] if i == 0 else range(n)))
    return parts[0], parts[1], f"MNIST from {place}" if place else "digits rendered from fonts"


def loaders(root: str | None, sizes: tuple[int, int], seed: int) -> tuple[DataLoader, DataLoader]:
    """A seed draws its own training pictures; the test pictures are always the same."""
    train, test, _ = pictures(root, sizes, seed)
    return DataLoader(train, batch_size=256, shuffle=True), DataLoader(test, batch_size=1000)


# %% [markdown]
r"""
**The network** That of Sener and Koltun (2018), without its dropout: two convolutions and a linear layer are φ, two linear layers
each head.
"""


# %%
def network(*tasks: str) -> mtl.HardSharing:
    """φ: (N, 1, 28, 28) → (N, 50)      θₖ: (N, 50) → (N, 10)"""
    trunk = nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(),  # → (N, 10, 12, 12)
        nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(),  # → (N, 20, 4, 4)
        nn.Flatten(), nn.Linear(320, 50), nn.ReLU(),
    )  # fmt: skip
    heads = {k: nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 10)) for k in tasks or ("left", "right")}
    return mtl.HardSharing(trunk, heads)


def tasks() -> list[mtl.Task]:
    """Both are classifications into ten digits."""
    return [mtl.Task(k, nn.CrossEntropyLoss(), metrics=["accuracy"]) for k in ("left", "right")]


METHODS: dict[str, Callable[[], Mapping[str, Any]]] = {
    "sum": dict,
    "uncertainty": lambda: {"weighting": W.Uncertainty(classification=("left", "right"))},
    "GradNorm": lambda: {"weighting": W.GradNorm()},
    "DWA": lambda: {"weighting": W.DWA()},
    "RLW": lambda: {"weighting": W.RLW()},
    "GLS": lambda: {"weighting": W.GLS()},
    "FAMO": lambda: {"weighting": W.FAMO()},
    "PCGrad": lambda: {"aggregation": A.PCGrad()},
    "MGDA": lambda: {"aggregation": A.MGDA()},
    "MGDA-UB": lambda: {"aggregation": A.MGDA(), "at": "representation"},
    "CAGrad": lambda: {"aggregation": A.CAGrad()},
    "IMTL-G": lambda: {"aggregation": A.IMTLG()},
    "Nash-MTL": lambda: {"aggregation": A.NashMTL()},
    "Aligned-MTL": lambda: {"aggregation": A.AlignedMTL()},
    "UPGrad": lambda: {"aggregation": A.UPGrad()},
}


# %%
def study(root: str | None, runs: Path, seeds: Any, sizes: tuple[int, int] = SIZES, epochs: int = EPOCHS) -> mtl.Comparison:
    """All methods from all seeds; runs that are in the folder are not made again."""
    return mtl.compare(
        tasks(),
        partial(loaders, root, sizes),
        {"hard": network},
        METHODS,
        lambda parameters: optim.Adam(parameters, lr=RATE),
        epochs,
        seeds,
        runs,
    )


def baselines(root: str | None, seeds: Any) -> dict[str, mtl.evaluation.Alone]:
    """Each task alone, at the best of three rates."""

    def rule(parameters: Any, lr: float) -> optim.Optimizer:
        return optim.Adam(parameters, lr=lr)

    return mtl.evaluation.single_task(network, tasks(), partial(loaders, root, SIZES), rule, RATES, EPOCHS, seeds)


def tell(result: mtl.Comparison, alone: dict[str, mtl.evaluation.Alone]) -> Table:
    """The table of the study, the baselines in its first row."""
    means = {k: {m: sum(v) / len(v) for m, v in one.scores.items()} for k, one in alone.items()}
    table = result.table(means, "MultiMNIST: two digits in one picture")
    for cells in (table.columns, *table.rows):
        cells.pop()  # seconds: on a machine that does other things too they compare nothing
    row = [mtl.evaluation.interval([100 * v for v in one.scores["accuracy"]]) for one in alone.values()]
    cells = [f"{i.mean:.2f} ± {i.half:.2f}" for i in row]
    table.rows.insert(0, ["each task alone", *cells, "0", ""])
    rates = ", ".join(f"{k} {one.lr}" for k, one in alone.items())
    table.about = (
        f"{table.about}; {SIZES[0]:,} pictures of real MNIST for training, {SIZES[1]:,} for testing, {EPOCHS} epochs, "
        f"Adam({RATE}); the baselines at the best of {RATES}: {rates}"
    )
    return table


# %% [markdown]
r"""
**You should see** A network for each digit is better than every joint training, by whatever method: Δm lies between −3.3 and −2.2
%, and no interval reaches 0. Among the methods the intervals overlap but for random weights, which are worst: the plain sum is as
good as any. At this size, 20,000 pictures and five epochs, the two tasks compete for a small trunk, contrary to the claim that
related tasks help each other; and no way of mixing losses or gradients makes good for it.

**Your turn** Add a method of yours to METHODS: a function of the losses, `{"weighting": lambda L: L.max()}`, or of the Jacobian,
`{"aggregation": lambda J: J.sum(axis=0)}`. Is it worth its name?
"""


# %%
def main(data_dir: str | None = None, out: str | Path = "out") -> dict[str, float]:
    """Three methods live on a tenth of the data; then the table of the full study."""
    small = (2000, 1000)
    say(f"Data: {pictures(data_dir, small, 0)[2]}, {small[0]:,} for training, {small[1]:,} for testing, 3 epochs, one seed\n")
    chosen = {name: METHODS[name] for name in ("sum", "uncertainty", "PCGrad")}
    rule = lambda parameters: optim.Adam(parameters, lr=RATE)  # noqa: E731
    result = mtl.compare(tasks(), partial(loaders, data_dir, small), {"hard": network}, chosen, rule, 3, [0], verbose=False)
    say(result.table(title="one seed").text())
    table = Table.read(TABLES / "multimnist.md")
    say(f"\n{table}")
    return {name: result.of("hard", name)[0].last["validation left accuracy"] for name in chosen}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two digits in one picture, by many methods.")
    parser.add_argument("--data", metavar="DIR", help="folder with the MNIST files; else MINIMTL_DATA, else rendered digits")
    parser.add_argument("--study", metavar="DIR", help="the full study, half an hour; its runs are kept in this folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of the study (0 1 2 3 4)")
    options = parser.parse_args()
    if options.study:
        compared = study(options.data, Path(options.study), options.seeds)
        found = tell(compared, baselines(options.data, options.seeds))
        found.save(TABLES / "multimnist.md", "python lessons/07_two_digits.py --data DIR --study RUNS")
        say(found.text())
    else:
        main(options.data)
