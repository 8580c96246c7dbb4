# %% [markdown]
r"""
# One after the other, in turns, or together; and trained apart, then made one

**Goal** D3's listing trains a shared network on one task and then on another, though its text says "simultaneously". Measure what
the first task loses; compare with other orders; and with D4's other scheme, training apart and fusing.

**Needs** Lesson 2.  **Time** 15 minutes.

**The mathematics** Two tasks with data of their own under D3 §3.1's objective (`mtl.joint_objective`)

$$\min_{\theta, \{\theta^{(i)}\}_{i=1}^{T}} \sum_{i=1}^{T} L^{(i)}(f(x^{(i)}; \theta, \theta^{(i)}), y^{(i)})$$

A schedule says which tasks take part in which step. What is lost of a metric $a$ between its best epoch and the last is forgotten
(`mtl.forgetting`):

$$f = \max_{1 \le e \le n - 1} a_e - a_n$$

In turns, task $k$ comes with the probability $N_k^a / \sum_j N_j^a$ (`mtl.sampling`). Of networks trained apart one is made by
averaging (`mtl.weight_average`), by keeping all of them, or by teaching a student (`mtl.distillation`).
"""

# %%
import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, mtl, nn, optim
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl import schedule as S
from minimtl.mtl.evaluation import forgetting, interval
from minimtl.training import Table, read, say

TABLES = Path(__file__).parent / "tables"
CLASSES = {"digit": 10, "turn": 5}
N, TEST, RATE, EPOCHS, SEEDS = 4000, 2000, 1e-3, 10, range(5)


# %%
def pictures(task: str, root: str | None, n: int, train: bool, seed: int) -> TensorDataset:
    """(N, 784) and labels: digits of MNIST where it is found; else and for the other task rendered ones, angles in five classes."""
    place = data.mnist_folder(root)
    if task == "digit" and place:
        mnist = data.MNIST(place, train=train)
        rows = mm.Generator(seed).rng.permutation(len(mnist))[:n] if train else np.arange(n)
        images, y = mnist.data.array[rows], mnist.targets.array[rows]  # type: ignore[union-attr]
    else:
        rendered = data.RenderedDigits(
            n, seed=4 * seed + 2 * train + (task == "turn") + 1000, labels="angle" if task == "turn" else "digit"
        )
        x, labels = rendered.__getitems__(np.arange(n))
        images, y = x.array, labels.array
        if task == "turn":
            y = np.clip(np.floor((y / (np.pi / 6) + 1) * 2.5), 0, 4).astype(np.int64)  # ±30° in five classes
    return TensorDataset(mm.tensor(images.reshape(n, 784).astype(np.float32) / 255), mm.tensor(y))


def loaders(root: str | None, seed: int) -> tuple[dict[str, DataLoader], dict[str, DataLoader]]:
    """For training, drawn anew for each seed, and for testing."""
    train = {k: DataLoader(pictures(k, root, N, True, seed), 64, shuffle=True) for k in CLASSES}
    return train, {k: DataLoader(pictures(k, root, TEST, False, 9999), 1000) for k in CLASSES}


def trunk() -> nn.Module:
    """D3's shared part: Dense(128, relu), Dense(64, relu)."""
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())


def head(task: str) -> nn.Module:
    """D3's own part: Dense(32, relu), Dense(classes)."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, CLASSES[task]))


def network(*tasks: str) -> mtl.HardSharing:
    """The trunk under the heads of some tasks, both unless said."""
    return mtl.HardSharing(trunk(), {k: head(k) for k in tasks or CLASSES})


def tasks(*names: str, loss: Any = None) -> list[mtl.Task]:
    """Classification into ten classes and into five."""
    return [mtl.Task(k, loss or nn.CrossEntropyLoss(), metrics=["accuracy"]) for k in names or CLASSES]


# %%
SCHEDULES: dict[str, tuple[Callable[[], S.Schedule], int]] = {  # and epochs: every task takes as many steps in all of them
    "one after the other": (lambda: S.Sequential(["digit", "turn"]), 2 * EPOCHS),
    "the other way round": (lambda: S.Sequential(["turn", "digit"]), 2 * EPOCHS),
    "together": (S.Joint, EPOCHS),
    "in turns": (S.RoundRobin, EPOCHS),
    "drawn in turns": (S.Sampled, EPOCHS),
}


def scheduled(name: str, root: str | None, seed: int, part: float = 1.0) -> dict[str, float]:
    """Accuracy of both tasks at the end, and what was forgotten of each; `part` of the epochs."""
    mm.manual_seed(seed)
    train, test = loaders(root, seed)
    model, (make, epochs) = network(), SCHEDULES[name]
    trainer = mtl.Trainer(model, tasks(), optim.Adam(model.parameters(), lr=RATE), schedule=make())
    history = trainer.fit(train, int(epochs * part), test, verbose=False)
    found = {k: history[f"validation {k} accuracy"][-1] for k in CLASSES}
    return found | {f"{k} forgotten": max(0.0, forgetting(history, f"validation {k} accuracy")) for k in CLASSES}


# %% [markdown]
r"""
**Trained apart, then made one** (D4 §3.2: "independent parallel with fusion"). Both networks start from the same trunk. Averaging
needs that; the student needs neither, but the teachers' answers on its pictures.
"""


# %%
def fitted(
    model: Any, names: tuple[str, ...], train: Any, epochs: int = EPOCHS, loss: Any = None, own: Any = None
) -> mtl.Trainer:
    """A trainer that has trained the model, or the parameters `own` of it, on some tasks."""
    trainer = mtl.Trainer(model, tasks(*names, loss=loss), optim.Adam(own or model.parameters(), lr=RATE))
    trainer.fit({k: train[k] for k in names}, epochs, verbose=False)
    return trainer


def fused(root: str | None, seed: int) -> dict[str, dict[str, float]]:
    """{way: {task: accuracy}}"""
    train, test = loaders(root, seed)
    found: dict[str, dict[str, float]] = {}

    def tested(name: str, model: Any) -> None:
        scores = mtl.Trainer(model, tasks(), optim.SGD(model.parameters(), lr=0.1)).evaluate(test)
        found[name] = {k: scores[f"{k} accuracy"] for k in CLASSES}

    alone = {}
    for k in CLASSES:
        mm.manual_seed(seed)  # one trunk to start from
        alone[k] = fitted(network(k), (k,), train).model
    tested("each alone", mtl.Ensemble(list(alone.values())))
    average = mtl.average([alone[k].shared for k in CLASSES])
    both = mtl.HardSharing(average, {k: alone[k].heads[k] for k in CLASSES})
    tested("trunks averaged", both)
    heads = [p for k in CLASSES for p in both.task_parameters(k)]
    fitted(both, tuple(CLASSES), train, 2, own=heads)
    tested("trunks averaged, heads tuned for 2 epochs", both)
    mm.manual_seed(500 + seed)
    others = [fitted(network(k), (k,), train).model for k in CLASSES]
    ensemble = mtl.Ensemble([*alone.values(), *others], classification=list(CLASSES))
    tested("two networks for each task, as an ensemble", ensemble)
    mm.manual_seed(seed)
    student = network()
    fitted(mtl.Distillation(student, alone), tuple(CLASSES), train, loss=mtl.distilled(nn.CrossEntropyLoss()))
    tested("a student of both", student)
    return found


# %%
def cell(values: list[float]) -> str:
    """Percent, and half of the interval."""
    found = interval([100 * v for v in values])
    return f"{found.mean:.2f} ± {found.half:.2f}"


def study(root: str | None, seeds: Any) -> dict[str, Table]:
    """Both tables."""
    source = "real MNIST" if data.mnist_folder(root) else "rendered digits"
    about = (
        f"Accuracy on {TEST:,} test pictures, percent; {len(list(seeds))} seeds, ± half of a 95 % interval; digit: {N:,} pictures "
        f"of {source}, turn: {N:,} rendered digits; Adam({RATE}), {EPOCHS} epochs a task"
    )
    orders = Table("In which order", ["schedule", "digit", "turn", "digit forgotten", "turn forgotten"], about)
    for name in SCHEDULES:
        runs = [scheduled(name, root, seed) for seed in seeds]
        orders.add(name, *(cell([r[c] for r in runs]) for c in ("digit", "turn", "digit forgotten", "turn forgotten")))
        say(f"{orders.rows[-1]}")
    ways = Table("Trained apart, then made one", ["way", "digit", "turn"], about)
    fusions = [fused(root, seed) for seed in seeds]
    for name in fusions[0]:
        ways.add(name, *(cell([f[name][k] for f in fusions]) for k in CLASSES))
        say(f"{ways.rows[-1]}")
    return {"one_after_the_other": orders, "fusion": ways}


# %% [markdown]
r"""
**You should see** CLAIMS

**Your turn** Give the second task the rate 1e-4, in a run of its own behind the first. Does the first forget less? What does the
second pay?
"""


# %%
def main(data_dir: str | None = None) -> dict[str, float]:
    """Two schedules on one seed, half as long; then the tables of the full study."""
    numbers = {}
    for name in ("one after the other", "together"):
        found = scheduled(name, data_dir, 0, 0.5)
        numbers |= {f"{name}, {k}": v for k, v in found.items()}
        accuracy = ", ".join(f"{k} {100 * found[k]:.1f} %" for k in CLASSES)
        say(f"{name:20s} {accuracy}; forgotten of digit: {100 * found['digit forgotten']:.1f} points")
    for name in ("one_after_the_other", "fusion"):
        table = read(TABLES / f"{name}.md")
        say(f"\n{table.title}. {table.about}.\n{table.text()}\n{table.origin}")
    return numbers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="D3: two tasks one after the other, in turns, together; and fused.")
    parser.add_argument("--data", metavar="DIR", help="folder with the MNIST files; else MINIMTL_DATA, else rendered digits")
    parser.add_argument("--study", action="store_true", help="the full study")
    options = parser.parse_args()
    if options.study:
        for name, table in study(options.data, SEEDS).items():
            table.save(TABLES / f"{name}.md", "python lessons/10_one_after_the_other.py --data DIR --study")
    else:
        main(options.data)
