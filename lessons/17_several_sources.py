# %% [markdown]
r"""
# Several source tasks, then a new one with few labels

**Goal** Multi-task learning and fine-tuning combined (D3-c): pretrain one trunk on 1, 2 or 4 tasks that printed digits come with,
then learn a task that it has not seen, the class of handwritten digits, from 5 or 20 labels a class. Does a second source task
help, and a third and fourth?

**Needs** Lessons 2 and 14.  **Time** 10 minutes.

**The mathematics** First all source tasks together, on pictures that have every label:

$$L(\theta, \phi) = \sum_{k=1}^{K} \alpha_k L_k(\theta_k, \phi)$$

(`mtl.weighted_loss`), with the weights of `mtl.uncertainty`, since losses of a class, an angle and an outline differ in size. Then a
new head on the old trunk, and all of it moves from there (`tl.fine_tune`):

$$\theta_t^* = \arg\min_{\theta_t} L_t(\theta_t), \quad \theta_t \leftarrow \theta_s$$

Either start is compared with none: the same network, drawn anew, on the same labels.
"""

# %%
import argparse
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, mtl, nn, optim
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval, paired
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
PRINTED, SOURCE_EPOCHS = 4000, 5
TEST, SHOTS, STEPS, SEEDS = 2000, (5, 20), 200, range(8)
RATES, TUNING = (3e-4, 1e-3, 3e-3), (100, 101)  # of fine-tuning, tried from seeds that the study does not use
SOURCES = {
    "nothing": (),
    "parity": ("parity",), "angle": ("angle",), "weight": ("weight",), "mask": ("mask",),
    "parity, angle": ("parity", "angle"), "weight, mask": ("weight", "mask"),
    "all four": ("parity", "angle", "weight", "mask"),
}  # fmt: skip

# %% [markdown]
r"""
**The source** Printed digits: even or odd, by what angle they are turned, how bold the face is, and which pixels are the digit's.
Which digit it is nobody says.
"""


# %%
def sources() -> dict[str, tuple[mtl.Task, nn.Module]]:
    """{name: task and its head on 84 features}"""
    return {
        "parity": (mtl.Task("parity", nn.CrossEntropyLoss(), metrics=["accuracy"]), nn.Linear(84, 2)),
        "angle": (mtl.Task("angle", nn.MSELoss(), metrics=["mae"], target=lambda y: y.reshape(-1, 1)), nn.Linear(84, 1)),
        "weight": (mtl.Task("weight", nn.CrossEntropyLoss(), metrics=["accuracy"]), nn.Linear(84, 3)),
        "mask": (mtl.Task("mask", nn.BCEWithLogitsLoss(), target=lambda y: y.float().flatten(1)), nn.Linear(84, 28 * 28)),
    }


def trunk() -> nn.Sequential:
    """φ: (N, 1, 28, 28) → (N, 84), that of D1"""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
    )  # fmt: skip


def scaled(pictures: mm.Tensor) -> mm.Tensor:
    """(N, 28, 28) bytes → (N, 1, 28, 28) around 0"""
    return mm.tensor((pictures.numpy()[:, None].astype(np.float32) / 255 - 0.1307) / 0.3081)


def printed(n: int, seed: int) -> DataLoader:
    """Batches (x, {task: label}) of n printed digits."""
    rendered = data.RenderedDigits(n, seed=seed, labels=("parity", "angle", "weight", "mask"))
    x, y = rendered.__getitems__(np.arange(n))
    return DataLoader(Labelled(scaled(x), y), 64, shuffle=True)


class Labelled(data.Dataset):
    """x, and a dictionary of labels."""

    def __init__(self, x: mm.Tensor, y: dict[str, mm.Tensor]) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: Any) -> Any:
        return self.x[indices], {k: y[indices] for k, y in self.y.items()}


def pretrained(names: Sequence[str], seed: int, n: int = PRINTED, epochs: int = SOURCE_EPOCHS) -> nn.Module:
    """φ after training on the source tasks; of none as it was drawn."""
    batches = printed(n, seed=1000 + seed) if names else None
    mm.manual_seed(seed)
    φ = trunk()
    if batches is not None:
        chosen = {k: sources()[k] for k in names}
        model = mtl.HardSharing(φ, {k: head for k, (_, head) in chosen.items()})
        tasks, rule = [task for task, _ in chosen.values()], optim.Adam(model.parameters(), lr=1e-3)
        weighting = mtl.weighting.Uncertainty() if len(tasks) > 1 else None
        mtl.Trainer(model, tasks, rule, weighting=weighting).fit(batches, epochs, verbose=False)
    return φ


# %% [markdown]
r"""
**The target** Real handwritten digits (MNIST), or, without it, printed ones that are bolder and more slanted than the source's. A
seed draws which pictures of each class have a label.
"""


# %%
def written(root: str | None) -> tuple[data.Dataset, data.Dataset, str]:
    """Training pictures, test pictures, and what they are."""
    place = data.mnist_folder(root)
    if place:
        return data.MNIST(place, train=True), data.MNIST(place, train=False), f"MNIST from {place}"
    other = {"shear": (0.3, 0.6), "stroke": (0.4, 0.7), "height": (18.0, 21.0)}
    sets = [data.RenderedDigits(n, seed=s, labels="digit", **other) for n, s in ((6000, 5), (TEST, 6))]
    return sets[0], sets[1], "printed digits of another kind"


def few(dataset: data.Dataset, shots: int, seed: int) -> TensorDataset:
    """So many pictures of each class."""
    rng, pool = np.random.default_rng(seed), np.arange(min(6000, len(dataset)))
    x, y = dataset.__getitems__(pool)
    rows = np.concatenate([rng.permutation(pool[y.numpy() == c])[:shots] for c in range(10)])
    return TensorDataset(scaled(x[rows]), y[rows])


def fine_tuned(φ: nn.Module, training: TensorDataset, test: TensorDataset, lr: float, seed: int, steps: int = STEPS) -> float:
    """The accuracy on the test pictures of a new head on a copy of φ, after so many steps of all parameters."""
    mm.manual_seed(seed)
    model = nn.Sequential(copy.deepcopy(φ), nn.Linear(84, 10))
    task = mtl.Task("digit", nn.CrossEntropyLoss(), metrics=["accuracy"])
    trainer = mtl.Trainer(model, [task], optim.Adam(model.parameters(), lr=lr))
    loader = DataLoader(training, min(32, len(training)), shuffle=True)
    trainer.fit(loader, max(1, steps // len(loader)), verbose=False)
    return trainer.evaluate(DataLoader(test, 500))["digit accuracy"]


# %%
def study(root: str | None, seeds: Sequence[int] = SEEDS) -> Table:
    """Every source, every number of labels, every seed; the rate of each source is the best at the fewest labels."""
    pool, held, what = written(root)
    x, y = held.__getitems__(np.arange(TEST))
    test, rates, found = TensorDataset(scaled(x), y), {}, {}
    for name, tasks in SOURCES.items():
        tried = dict.fromkeys(RATES, 0.0)
        for seed in TUNING:
            φ = pretrained(tasks, seed)
            for lr in RATES:
                tried[lr] += fine_tuned(φ, few(pool, SHOTS[0], seed), test, lr, seed)
        rates[name] = max(tried, key=lambda lr: tried[lr])
        starts = {seed: pretrained(tasks, seed) for seed in seeds}
        found[name] = {n: [fine_tuned(starts[s], few(pool, n, s), test, rates[name], s) for s in seeds] for n in SHOTS}
        say(f"{name}: rate {rates[name]}, " + ", ".join(f"{n} labels {100 * np.mean(v):.1f} %" for n, v in found[name].items()))
    chosen = ", ".join(f"{name} {lr}" for name, lr in rates.items())
    about = (
        f"Accuracy on {TEST:,} test pictures of {what.split(' from ')[0]}, in percent, and the gain over no source in pairs of seeds; "
        f"{len(seeds)} seeds, ± half of a 95 % interval; sources: {PRINTED:,} printed digits, {SOURCE_EPOCHS} epochs of Adam(0.001); "
        f"then {STEPS} steps of all parameters, Adam at the best of {RATES}, found at {SHOTS[0]} labels from {len(TUNING)} other "
        f"seeds: {chosen}"
    )
    columns = [f"{n} labels a class{of}" for n in SHOTS for of in ("", ", gain")]
    table = Table("Several source tasks", ["source", *columns], about)
    for name, by in found.items():
        cells = []
        for n in SHOTS:
            one, gain = (
                interval([100 * v for v in by[n]]),
                paired([100 * v for v in by[n]], [100 * v for v in found["nothing"][n]]),
            )
            cells += [f"{one.mean:.1f} ± {one.half:.1f}", f"{gain.mean:+.1f} ± {gain.half:.1f}" if name != "nothing" else "0"]
        table.add(name, *cells)
    return table


# %% [markdown]
r"""
**You should see** Which source matters more than how many. Parity gains 3.5 points at 20 labels, and angle nothing that eight seeds
could tell. The mask, which is the most detailed of the labels, does harm: 6 points are lost at five labels, and none are gained at
20: a case of negative transfer. Several sources lie where the best among them is: parity with angle gains about what parity does,
all four together as much, though mask and weight are among them. So a bad source in good company does no harm here, and a second
good one adds nothing that could be told. At five labels only parity with angle is better than nothing for certain; mask and weight
with mask are worse.

**Your turn** Add the digit itself to the sources: how much of the way did the four others come? Freeze φ (`transfer.freeze`) before
fine-tuning: which source's features serve as they are?
"""


# %%
def main(root: str | None = None, n: int = 1500, epochs: int = 2, steps: int = 60) -> dict[str, float]:
    """Three sources, one seed, a short training; then the table of the full study."""
    pool, held, what = written(root)
    x, y = held.__getitems__(np.arange(1000))
    test, found = TensorDataset(scaled(x), y), {}
    say(f"Target: {what}, {SHOTS[1]} labels a class; sources: {n:,} printed digits, {epochs} epochs; one seed")
    for name in ("nothing", "mask", "all four"):
        found[name] = fine_tuned(pretrained(SOURCES[name], 0, n, epochs), few(pool, SHOTS[1], 0), test, 1e-3, 0, steps)
        say(f"{name:9s} {100 * found[name]:.1f} %")
    table = Table.read(TABLES / "several_sources.md")
    say(f"\n{table}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pretraining on several tasks, fine-tuning on a new one (D3-c).")
    parser.add_argument("--data", metavar="DIR", help="folder with the MNIST files; else MINIMTL_DATA, else printed digits")
    parser.add_argument("--study", action="store_true", help="the full study")
    options = parser.parse_args()
    if options.study:
        result = study(options.data)
        result.save(TABLES / "several_sources.md", "python lessons/17_several_sources.py --data DIR --study")
        say(result.text())
    else:
        main(options.data)
