# %% [markdown]
r"""
# Learn the new task, keep the old one

**Goal** A network reads digits. Then it learns by what angle they are turned, from pictures of which nobody says the digit, and
forgets how to read (lesson 10). See three ways to keep the old task, and what each needs: the old data's curvature (EWC), the old
network's opinion (learning without forgetting), or some old pictures (replay).

**Needs** Lesson 10.  **Time** 15 minutes.

**The mathematics** EWC holds each number of θ to where it was, the more so the more the old task depends on it, $s$ being θ after
the old task and $F$ its Fisher information there (`tl.ewc`, `tl.fisher`):

$$R = \frac{1}{2} \sum_{i=1}^{n} F_i (\theta_i - s_i)^2$$

Learning without forgetting asks the old network what it says of the *new* pictures, and holds the old head to that: it is
distillation (`mtl.distillation`) from oneself. Replay mixes old pictures into each batch; which ones are kept of a stream of
unknown length a reservoir decides (`tl.reservoir`): the $t$-th takes place

$$j = \begin{cases} t & t \le m \\ \lfloor u t \rfloor + 1 & \text{otherwise} \end{cases}$$

of $m$, and where $j > m$ none. D4 §5 asks for it: the source task's performance is to be kept.
"""

# %%
import argparse
import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, models, mtl, nn, optim, transfer
from minimtl.data import DataLoader
from minimtl.mtl.evaluation import interval
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
SIZE, TEST, EPOCHS, SEEDS, TUNING = 3000, 2000, 4, range(8), 100
KEPT, MISSING = 200, -100  # old pictures in the buffer; the label that is none

# %% [markdown]
r"""
**The tasks** Printed digits. The old task is the digit; the new one the angle, in five classes. The two data sets have no picture in
common, and each has the labels of its own task alone: the other's are missing.
"""


# %%
def five(angle: np.ndarray) -> np.ndarray:
    """Angles from −30° to 30° in five classes."""
    return np.clip(((np.degrees(angle) + 30) // 12).astype(np.int64), 0, 4)


class Labelled(data.Dataset):
    """n printed digits, with the labels of some tasks; those of the others are missing."""

    def __init__(self, n: int, seed: int, *tasks: str) -> None:
        x, y = data.RenderedDigits(n, seed=seed, labels=("digit", "angle")).__getitems__(np.arange(n))
        labels = {"digit": y["digit"].numpy(), "angle": five(y["angle"].numpy())}
        self.x = mm.tensor((x.numpy()[:, None].astype(np.float32) / 255 - 0.1307) / 0.3081)
        self.y = {k: mm.tensor(y if k in tasks else np.full_like(y, MISSING)) for k, y in labels.items()}

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: Any) -> Any:
        return self.x[indices], {k: y[indices] for k, y in self.y.items()}


def loaders(seed: int, n: int = SIZE) -> tuple[DataLoader, DataLoader, DataLoader]:
    """The old task's batches, the new task's, and pictures to test both with."""
    old, new, test = Labelled(n, 3 * seed, "digit"), Labelled(n, 3 * seed + 1, "angle"), Labelled(TEST, 9999, "digit", "angle")
    return DataLoader(old, 50, shuffle=True), DataLoader(new, 50, shuffle=True), DataLoader(test, 500)


def network() -> mtl.HardSharing:
    """D1's trunk and two heads."""
    return mtl.HardSharing(models.lenet(include_top=False), {"digit": nn.Linear(84, 10), "angle": nn.Linear(84, 5)})


def tasks() -> list[mtl.Task]:
    """Two classifications; samples without a label do not count."""
    return [mtl.Task(k, nn.CrossEntropyLoss(), metrics=["accuracy"], missing=MISSING) for k in ("digit", "angle")]


def train(model: nn.Module, batches: Any, epochs: int = EPOCHS, **options: Any) -> mtl.Trainer:
    """Adam on whatever requires a gradient."""
    rule = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    trainer = mtl.Trainer(model, tasks(), rule, **options)
    trainer.fit(batches, epochs, verbose=False)
    return trainer


# %% [markdown]
r"""
**The ways** Each gets a network that reads digits, the old data, the new data, and its strength λ. Only EWC and replay look at the
old data.
"""


# %%
def plain(model: Any, old: DataLoader, new: DataLoader, strength: float, epochs: int) -> None:
    """Fine-tuning, as lesson 10."""
    train(model, new, epochs)


def frozen(model: Any, old: DataLoader, new: DataLoader, strength: float, epochs: int) -> None:
    """Only the new head moves."""
    train(transfer.freeze(model, except_="heads.angle"), new, epochs)


def ewc(model: Any, old: DataLoader, new: DataLoader, strength: float, epochs: int) -> None:
    """Held by the Fisher information of 300 old pictures."""
    some = [batch for _, batch in zip(range(6), old, strict=False)]
    F = transfer.fisher(model, some, task="digit")
    train(model, new, epochs, penalties=[transfer.ewc(model, F, weight=strength)])


def lwf(model: Any, old: DataLoader, new: DataLoader, strength: float, epochs: int) -> None:
    """Held to what the old network says of the new pictures."""
    penalty = transfer.lwf(copy.deepcopy(model), strength, "heads.digit")
    train(transfer.Watched(model, "heads.digit"), new, epochs, penalties=[penalty])


def replay(model: Any, old: DataLoader, new: DataLoader, strength: float, epochs: int) -> None:
    """So many of 200 old pictures in each batch."""
    buffer = transfer.Reservoir(KEPT)
    for x, y in old:
        buffer.add(x, y)
    train(model, transfer.Replay(new, buffer, int(strength)), epochs)


WAYS: dict[str, tuple[Callable[..., None], Sequence[float]]] = {  # and the strengths that are tried
    "fine-tuning": (plain, (0,)), "new head alone": (frozen, (0,)),
    "EWC": (ewc, (10, 100, 1000)), "without forgetting": (lwf, (0.5, 2, 8)), "replay": (replay, (10, 25, 50)),
}  # fmt: skip


def source(seed: int, n: int = SIZE, epochs: int = EPOCHS) -> tuple[Any, tuple[DataLoader, DataLoader, DataLoader]]:
    """A network that reads digits, and the data."""
    batches = loaders(seed, n)
    mm.manual_seed(seed)
    model = network()
    train(model, batches[0], epochs)
    return model, batches


def scores(model: Any, test: DataLoader) -> dict[str, float]:
    """Accuracy of both tasks, in percent."""
    found = mtl.Trainer(model, tasks(), optim.SGD(model.parameters(), lr=1)).evaluate(test)
    return {k: 100 * found[f"{k} accuracy"] for k in ("digit", "angle")}


def run(way: str, strength: float, start: Any, batches: Any, seed: int, epochs: int = EPOCHS) -> dict[str, float]:
    """Both tasks after the new one was learnt."""
    mm.manual_seed(seed)
    model = copy.deepcopy(start)
    WAYS[way][0](model, *batches[:2], strength, epochs)
    return scores(model, batches[2])


# %%
def study(seeds: Sequence[int] = SEEDS) -> Table:
    """All ways from all seeds, each at the strength whose mean of both accuracies is best on another seed."""
    start, batches = source(TUNING)
    best: dict[str, float] = {}
    for way, (_, strengths) in WAYS.items():
        tried = (
            {s: sum(run(way, s, start, batches, TUNING).values()) for s in strengths}
            if len(strengths) > 1
            else {strengths[0]: 0.0}
        )
        best[way] = max(tried, key=lambda s: tried[s])
        say(f"{way}: {tried}")
    before, found = [], {way: [] for way in WAYS}
    for seed in seeds:
        start, batches = source(seed)
        before.append(scores(start, batches[2])["digit"])
        for way in WAYS:
            found[way].append(run(way, best[way], start, batches, seed))
        say(f"seed {seed}: before {before[-1]:.1f}, " + ", ".join(f"{way} {found[way][-1]}" for way in WAYS))
    at = interval(before)
    about = (
        f"Accuracy in percent on {TEST:,} test pictures; {len(seeds)} seeds, ± half of a 95 % interval; {SIZE:,} pictures with digits, "
        f"then {SIZE:,} others with angles, {EPOCHS} epochs each, Adam(0.002); digits before: {at.mean:.1f} ± {at.half:.1f}; strengths "
        f"of { {way: list(s) for way, (_, s) in WAYS.items() if len(s) > 1} }, chosen on another seed"
    )
    table = Table("The new task, and the old one kept", ["way", "strength", "digit", "forgotten", "angle"], about)
    for way, runs in found.items():
        digit, angle = ([r[k] for r in runs] for k in ("digit", "angle"))
        columns = [digit, [b - d for b, d in zip(before, digit, strict=True)], angle]
        strength = f"{best[way]:g}" if len(WAYS[way][1]) > 1 else ""
        table.add(way, strength, *(f"{i.mean:.1f} ± {i.half:.1f}" for i in map(interval, columns)))
    return table


# %% [markdown]
r"""
**You should see** Plain fine-tuning forgets 60 of 97 points. A new head alone forgets nothing, by construction, and learns 40 %
where 68 % can be had. Learning without forgetting keeps all but half a point, which eight seeds cannot tell from nothing, and
learns 66; replay of 25 pictures in a batch, of 200 in all, forgets one and a half and learns as much. EWC forgets 7 points and
learns 58, less than the other two in both: the diagonal of the curvature, taken at one point, is a poor map of how far one may go.
It is also the dearest: a gradient for each picture and each class.

**Your turn** Keep 20 old pictures instead of 200, or 2,000: where does replay meet the joint training of lesson 10? Take the
batch's mean gradient squared for the Fisher information, as some code does: what is left of EWC?
"""


# %%
def main(n: int = 1000, epochs: int = 3) -> dict[str, dict[str, float]]:
    """Three ways from one seed; then the table of the full study."""
    start, batches = source(0, n, epochs)
    found = {"before": scores(start, batches[2])}
    for way, strength in (("fine-tuning", 0), ("without forgetting", 2), ("replay", 25)):
        found[way] = run(way, strength, start, batches, 0, epochs)
    for way, both in found.items():
        say(f"{way:20s} digit {both['digit']:.1f} %, angle {both['angle']:.1f} %")
    table = Table.read(TABLES / "without_forgetting.md")
    say(f"\n{table}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Learning a new task without forgetting the old one.")
    parser.add_argument("--study", action="store_true", help="the full study")
    if parser.parse_args().study:
        result = study()
        result.save(TABLES / "without_forgetting.md", "python lessons/20_without_forgetting.py --study")
        say(result.text())
    else:
        main()
