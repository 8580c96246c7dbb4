# %% [markdown]
r"""
# Two tasks with pictures of their own, of different size

**Goal** D4's joint training in miniature: one convolutional base under two heads, each task with its own data set and its own picture
size; labels one-hot. Does either task gain from the other's pictures?

**Needs** Lesson 2.  **Time** 10 minutes.

**The mathematics** Every task has data of its own, and the losses of a batch of each are added:

$$L = \sum_{k=1}^{K} \sum_{i=1}^{N_k} l_k(f_k(x_{ki}; \theta_k, \phi), y_{ki})$$

(`mtl.total_loss`, as means over batches.) The labels are one-hot, $l_k$ is the cross-entropy of distributions
(`nn.soft_cross_entropy`). What makes one base fit two sizes is average pooling over the whole picture (`nn.adaptive_avg_pool2d`):
as many features as channels, whatever the size.

D4's listing has VGG16 as base, heads of 1,000 and 10 classes, pictures of 224² and 128². As printed it cannot run: there is no
argument `VGG16(inputs=)`, `Flatten` is given a model, and the second input is never used.
"""

# %%
import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, mtl, nn, optim
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval, negative_transfer, single_task
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
SIDES = {"digit": 28, "stroke": 20}  # pixels
CLASSES = {"digit": 10, "stroke": 3}  # which digit; light, regular or bold
SIZES = {"digit": 1500, "stroke": 1500}  # training pictures; the same, so that together and alone mean as many steps
RATES, EPOCHS, SEEDS = (3e-3, 1e-2, 3e-2), 8, range(8)


# %%
def pictures(task: str, n: int, seed: int) -> TensorDataset:
    """(N, 1, S, S) rendered digits, cut to the task's size, and one-hot labels (N, C)."""
    labels = {"digit": "digit", "stroke": "weight"}[task]
    rendered = data.RenderedDigits(n, seed=seed, labels=labels)
    images, y = rendered.__getitems__(np.arange(n))
    edge = (28 - SIDES[task]) // 2
    cut = images.numpy()[:, None, edge : 28 - edge, edge : 28 - edge].astype(np.float32) / 127.5 - 1
    return TensorDataset(mm.tensor(cut), mm.tensor(np.eye(CLASSES[task], dtype=np.float32)[y.numpy()]))


def loaders(seed: int, sizes: dict[str, int] | None = None) -> tuple[dict[str, DataLoader], dict[str, DataLoader]]:
    """For training and for testing, a loader for each task. The tasks have no picture in common."""
    chosen = sizes or SIZES
    train = {k: DataLoader(pictures(k, n, 100 * seed + 2 * i), 32, shuffle=True) for i, (k, n) in enumerate(chosen.items())}
    return train, {k: DataLoader(pictures(k, 1000, 10_001 + i), 500) for i, k in enumerate(chosen)}


def network(*tasks: str) -> mtl.HardSharing:
    """φ: (N, 1, S, S) → (N, 32) for any S ≥ 8: a small VGG, and the mean over all places."""
    block = lambda a, b: [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]  # noqa: E731
    base = nn.Sequential(*block(1, 8), *block(8, 16), *block(16, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return mtl.HardSharing(base, {k: nn.Linear(32, CLASSES[k]) for k in tasks or CLASSES})


def tasks() -> list[mtl.Task]:
    """Cross-entropies of distributions."""
    return [mtl.Task(k, nn.CrossEntropyLoss(), metrics=["accuracy"]) for k in CLASSES]


# %%
def rule(parameters: Iterable[Any], lr: float = 3e-3) -> optim.Optimizer:
    """Adam."""
    return optim.Adam(parameters, lr=lr)


def together(lr: float, seeds: Iterable[int]) -> dict[str, list[float]]:
    """{task: its accuracy from each seed} of the base that both train."""
    result = mtl.compare(tasks(), loaders, {"together": network}, {"sum": dict}, partial(rule, lr=lr), EPOCHS, seeds)
    return {k: by["accuracy"] for k, by in result.scores("together", "sum").items()}


def study(seeds: Any) -> Table:
    """Both tasks together and each alone, paired over seeds; either at the best of three rates."""
    tried = {lr: together(lr, seeds) for lr in RATES}
    rate = max(RATES, key=lambda lr: np.mean([*tried[lr].values()]))
    alone = single_task(network, tasks(), loaders, rule, RATES, EPOCHS, seeds)
    joint, apart = tried[rate], {k: one.scores["accuracy"] for k, one in alone.items()}
    report = negative_transfer(joint, apart, "accuracy")
    rates = ", ".join(f"{k} alone {one.lr}" for k, one in alone.items())
    about = (
        f"Accuracy on 1,000 test pictures each, in percent; {len(list(seeds))} seeds, ± half of a 95 % interval; {SIZES} training "
        f"pictures, {EPOCHS} epochs, Adam at the best of {RATES}: together {rate}, {rates}"
    )
    table = Table("Two tasks with pictures of different size", ["task", "together", "alone", "gain", "verdict"], about)
    for k in CLASSES:
        cells = [interval([100 * v for v in values]) for values in (joint[k], apart[k])]
        gain = report.gains[k]
        means = [f"{i.mean:.2f} ± {i.half:.2f}" for i in cells]
        table.add(k, *means, f"{100 * gain.mean:+.2f} ± {100 * gain.half:.2f}", report.verdict(k))
    say(table.text())
    return table


# %% [markdown]
r"""
**You should see** Both tasks lose by sharing a base: the digit 14 points, the stroke 3, with intervals that keep well below 0. Either
side had the best of three learning rates and saw every picture as often, so the loss is due to sharing. D4 §6 says that joint training
fits tasks of high relation; that both look at digits does not make them so.

**Your turn** Give the base twice the channels: how much of the loss remains? Give the digit task 100 pictures and leave the stroke its
1,500: does the smaller data set gain?
"""


# %%
def main(epochs: int = 2) -> dict[str, float]:
    """Both tasks together, one seed; then the table of the full study."""
    mm.manual_seed(0)
    train, test = loaders(0)
    model = network()
    x = {k: next(iter(loader))[0] for k, loader in test.items()}
    say(f"{ {k: tuple(v.shape) for k, v in x.items()} } -> { {k: tuple(v.shape) for k, v in model(x).items()} }")
    history = mtl.Trainer(model, tasks(), rule(model.parameters())).fit(train, epochs, test)
    table = Table.read(TABLES / "two_sizes.md")
    say(f"\n{table}")
    return history.rows[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two image tasks with data and sizes of their own (D4).")
    parser.add_argument("--study", action="store_true", help="the full study")
    if parser.parse_args().study:
        study(SEEDS).save(TABLES / "two_sizes.md", "python lessons/12_two_sizes.py --study")
    else:
        main()
