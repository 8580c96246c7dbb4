# %% [markdown]
r"""
# Digits that were never seen

**Goal** Recognise two digits of which there is no training picture at all, by the segments that they would light on a seven-segment
display; and find out how far such a description carries.

**Needs** Lesson 2.  **Time** 10 minutes.

**The mathematics** Class $c$ has a row of attributes $a_c$, here the seven segments, ±1. From the features $z = \phi(x)$ of a picture
come attributes, and from those a score of each class that has a description, seen or not:

$$y_{nc} = \sum_{i=1}^{A} u_{ni} a_{ci}, \quad u_{ni} = \sum_{d=1}^{D} z_{nd} W_{di}$$

(`tl.compatibility`). What is learnt is $W$, and φ below it, in one of three ways. *Attributes*: each segment is a task of its own, on
or off, and all share φ: multi-task learning. *Classes*: cross-entropy of $y$ over the seen classes. *Closed form*: φ is an ordinary
classifier's, and $W = V$ solves linear equations (`tl.eszsl`, Romera-Paredes and Torr 2015), with $P$, $Q$ the regularised second
moments of features and attributes:

$$\sum_{k=1}^{D} \sum_{j=1}^{A} P_{dk} V_{kj} Q_{ji} = \sum_{n=1}^{N} \sum_{c=1}^{C} Z_{nd} Y_{nc} S_{ci}$$

If it is known that a picture shows one of the two unseen digits, a guess is right every other time. If it may be any of ten the
harder question is whether the model ever says "unseen" at all; the harmonic mean $h = 2 s u / (s + u)$ (`tl.harmonic_mean`) of the
accuracies on seen and on unseen pictures is large only if both are.

D4 §3.1.3 calls something else zero transfer: to train on the target without any source. That is `transfer.schemes`'s "zero".
"""

# %%
import argparse
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, mtl, nn, optim, transfer
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
N_TRAIN, N_TEST, EPOCHS, SEEDS = 1200, 1000, 6, range(5)
WIDTH = 48  # features
ON = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")  # the segments of 0 … 9
CODES = np.array([[1.0 if segment in on else -1.0 for segment in "abcdefg"] for on in ON], np.float32)

# %% [markdown]
r"""
**The segments** a is the top bar, b and c the right side from above, d the bottom, e and f the left side from below, g the middle.
Printed digits are no seven-segment displays: a 7 has no right side but a stroke aslant, a 1 may have a foot. The description is
rough.
"""


# %%
@cache
def pictures(n: int, seed: int) -> tuple[mm.Tensor, np.ndarray]:
    """(N, 1, 28, 28) rendered digits in [−1, 1], and which they are."""
    x, y = data.RenderedDigits(n, seed=seed).__getitems__(np.arange(n))
    return mm.tensor(x.numpy()[:, None].astype(np.float32) / 127.5 - 1), y.numpy()


def trunk() -> nn.Sequential:
    """φ: (N, 1, 28, 28) → (N, WIDTH)"""
    return nn.Sequential(
        nn.AvgPool2d(2),  # → (N, 1, 14, 14)
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2),  # → (N, 12, 6, 6)
        nn.Conv2d(12, 24, 3), nn.ReLU(), nn.MaxPool2d(2),  # → (N, 24, 2, 2)
        nn.Flatten(), nn.Linear(96, WIDTH), nn.ReLU(),
    )  # fmt: skip


def train(model: nn.Module, loss: Any, x: mm.Tensor, y: Any, epochs: int) -> None:
    """Adam, in batches of 32."""
    trainer = mtl.Trainer(model, [mtl.Task("unseen", loss)], optim.Adam(model.parameters(), lr=3e-3))
    trainer.fit(DataLoader(TensorDataset(x, mm.tensor(y)), 32, shuffle=True), epochs, verbose=False)


Read = tuple[nn.Module, transfer.Compatibility]  # φ, and a head for seen classes


def attributes(x: mm.Tensor, y: np.ndarray, codes: np.ndarray, epochs: int) -> Read:
    """Seven tasks, on or off. y counts the seen classes from 0."""
    φ, head = trunk(), transfer.Compatibility(WIDTH, codes, bias=True)
    train(nn.Sequential(φ, head.predict), nn.BCEWithLogitsLoss(), x, (codes[y] > 0).astype(np.float32), epochs)
    return φ, head


def classes(x: mm.Tensor, y: np.ndarray, codes: np.ndarray, epochs: int) -> Read:
    """Cross-entropy over the seen classes."""
    φ, head = trunk(), transfer.Compatibility(WIDTH, codes)
    train(nn.Sequential(φ, head), nn.CrossEntropyLoss(), x, y, epochs)
    return φ, head


def closed_form(x: mm.Tensor, y: np.ndarray, codes: np.ndarray, epochs: int) -> Read:
    """An ordinary classifier, its features, and linear equations."""
    φ = trunk()
    train(nn.Sequential(φ, nn.Linear(WIDTH, len(codes))), nn.CrossEntropyLoss(), x, y, epochs)
    with nn.utils.evaluating(φ):
        return φ, transfer.eszsl(φ(x), y, codes)


WAYS: dict[str, Callable[..., Read]] = {"attributes": attributes, "classes": classes, "closed form": closed_form}


# %%
def split(way: Callable[..., Read], unseen: list[int], seed: int, codes: np.ndarray, epochs: int, n: int) -> dict[str, Any]:
    """Train without the unseen digits, and test: shares that are right, each digit counting the same."""
    seen = [c for c in range(10) if c not in unseen]
    x, y = pictures(n, seed)
    chosen = np.isin(y, seen)
    mm.manual_seed(seed)
    φ, head = way(x[mm.tensor(np.flatnonzero(chosen))], np.searchsorted(seen, y[chosen]), codes[seen], epochs)
    x, y = pictures(N_TEST, 9001)
    with nn.utils.evaluating(φ):
        z = φ(x)
        two, ten = (head.on(codes[group])(z).argmax(dim=1).numpy() for group in (unseen, range(10)))
    right = {c: float((ten[y == c] == c).mean()) for c in range(10)}
    between = {c: float((np.array(unseen)[two[y == c]] == c).mean()) for c in unseen}
    s, u = np.mean([right[c] for c in seen]), np.mean([right[c] for c in unseen])
    return {
        "of two": float(np.mean([*between.values()])),
        "unseen, of ten": float(u),
        "seen, of ten": float(s),
        "harmonic mean": transfer.harmonic_mean(float(s), float(u)),
        "digits": {c: (between[c], right[c]) for c in unseen},
    }


def pairs(seed: int) -> list[list[int]]:
    """Five pairs of digits, each digit in one of them."""
    order = np.random.default_rng(seed).permutation(10)
    return [sorted(map(int, order[i : i + 2])) for i in range(0, 10, 2)]


MEASURES = ("of two", "unseen, of ten", "seen, of ten", "harmonic mean")


def study(seeds: Iterable[int]) -> tuple[Table, Table]:
    """All ways on all pairs of all seeds; a control whose codes are dealt out to other digits; and each digit by itself."""
    found: dict[str, list[dict[str, float]]] = {}
    digits: dict[int, list[tuple[float, float]]] = {c: [] for c in range(10)}
    for seed in seeds:
        dealt = CODES[np.random.default_rng(100 + seed).permutation(10)]
        for name, way in [*WAYS.items(), ("attributes of other digits", attributes)]:
            codes = dealt if name.endswith("other digits") else CODES
            runs = [split(way, pair, seed, codes, EPOCHS, N_TRAIN) for pair in pairs(seed)]
            found.setdefault(name, []).append({m: float(np.mean([100 * run[m] for run in runs])) for m in MEASURES})
            for run in runs if name == "attributes" else ():
                for c, both in run["digits"].items():
                    digits[c].append(both)
            say(f"seed {seed}, {name}: { {m: round(v, 1) for m, v in found[name][-1].items()} }")
    about = (
        f"Accuracy in percent, each digit counting the same; {len(list(seeds))} seeds, ± half of a 95 % interval; a seed deals the ten "
        f"digits into five unseen pairs, and is the mean of five runs; {N_TRAIN:,} pictures less those of the pair, {EPOCHS} epochs, "
        "Adam(0.003); closed form: γ = λ = 1; a guess has 50 of two and 10 of ten"
    )
    table = Table("Digits that were never seen", ["way", *MEASURES], about)
    for name, rows in found.items():
        means = [interval([row[m] for row in rows]) for m in MEASURES]
        table.add(name, *(f"{i.mean:.1f} ± {i.half:.1f}" for i in means))
    each = Table(
        "Which digits",
        ["digit", "segments", "of two", "of ten"],
        "The way `attributes`, a digit being unseen with another one. " + about,
    )
    for c, values in digits.items():
        two, ten = (interval([100 * v[i] for v in values]) for i in (0, 1))
        each.add(c, ON[c], f"{two.mean:.1f} ± {two.half:.1f}", f"{ten.mean:.1f} ± {ten.half:.1f}")
    return table, each


# %% [markdown]
r"""
**You should see** Between two digits it never saw, the network picks the right one two times in three, 67.5 % by attributes, 72.8 %
by classes, where a guess is right every other time; with the codes of other digits nothing of this is left. Which of the three ways
is best at it cannot be told.

If the picture may show any of ten, "attributes" hardly ever names an unseen digit: 8 %, fewer than guessing would. The head is sure
of what it has seen, and every unseen code has a neighbour one or two segments away. The closed form names them in half of the
cases, and pays for it with the seen ones, of which it reads half instead of nine in ten; by the harmonic mean that is better than
attributes.

The second table says which digits. Its intervals are wide, for much depends on which other digit is missing, but one row is not: a 2
is never recognised. It is the one digit that leaves segment c dark. Without it c is lit in every training picture, and nothing can be
learnt of its absence. An unseen class can be described only in attributes that vary among the seen ones: look for this first.

**Your turn** Describe digits in another way, by loops, straight strokes and open ends. Which unseen digits does your description
help?
"""


# %%
def main(epochs: int = EPOCHS, n: int = N_TRAIN) -> dict[str, float]:
    """One pair, live, by attributes; then the tables of the full study."""
    unseen = pairs(0)[0]
    found = split(attributes, unseen, 0, CODES, epochs, n)
    say(f"Never seen: {unseen}, segments {[ON[c] for c in unseen]}; {epochs} epochs on pictures of the other eight")
    for m in MEASURES:
        say(f"{m:>15}: {100 * found[m]:.1f} %")
    say("")
    for name in ("unseen_digits", "unseen_which"):
        say(f"{Table.read(TABLES / f'{name}.md')}\n")
    return {m: found[m] for m in MEASURES}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Digits that were never seen, by their segments.")
    parser.add_argument("--study", action="store_true", help="the full study, a few minutes")
    if parser.parse_args().study:
        for result, file in zip(study(SEEDS), ("unseen_digits", "unseen_which"), strict=True):
            result.save(TABLES / f"{file}.md", "python lessons/19_unseen_digits.py --study")
            say(result.text())
    else:
        main()
