# %% [markdown]
r"""
# Which source? Scores before anything is transferred

**Goal** Six trained networks lie ready, and a target with 20 labels a class. Fine-tuning all of them would tell which is best;
scores that take a second claim to tell beforehand. See how far they do.

**Needs** Lessons 14 and 17.  **Time** 15 minutes.

**The mathematics** A source gives features $\phi(x)$, and a head that was trained with it says $\theta_{nz}$, its probability of
its own class $z$ for the target's sample $n$. NCE (`tl.nce`) asks how much of the target's label the source's predicted class
tells, LEEP (`tl.leep`) the same of the probabilities, H-score (`tl.h_score`) how far apart the classes' mean features lie, and
LogME (`tl.log_me`) how likely the labels are under a linear model of the features, all such models weighed together
(`tl.evidence`). CKA (`mtl.linear_cka`) is how alike the features are to those of a network trained on the target, the proxy
A-distance (`mtl.proxy_a_distance`) how easily source and target pictures are told apart by them. A score is good if it orders the
sources as fine-tuning then does: Kendall's τ, weighted towards the best (`tl.weighted_tau`), is 1 for the same order and −1 for the
opposite.

D3 §8 chooses a source by performance, size and similarity: the table has all three.
"""

# %%
import argparse
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, models, mtl, nn, optim
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval
from minimtl.training import Table, say
from minimtl.transfer import selection

TABLES = Path(__file__).parent / "tables"
SIZE, EPOCHS, SHOTS, STEPS, TEST, SEEDS = 3000, 4, 20, 200, 2000, range(8)
SOURCES = {"digit": 10, "parity": 2, "angle": 5, "weight": 3, "first five": 5, "noise": 10}  # and how many classes each has

# %% [markdown]
r"""
**The sources** One network, trained on printed digits with six kinds of labels: the digit, its parity, the angle in five classes,
the weight of the face, the digit of 0 to 4 alone, and labels drawn at random, which hold nothing.
"""


# %%
def scaled(x: mm.Tensor) -> mm.Tensor:
    """(N, 28, 28) bytes → (N, 1, 28, 28) around 0"""
    return mm.tensor((x.numpy()[:, None].astype(np.float32) / 255 - 0.1307) / 0.3081)


def labelled(kind: str, seed: int, n: int) -> TensorDataset:
    """n printed digits with labels of this kind."""
    x, y = data.RenderedDigits(n, seed=seed, labels=("digit", "parity", "angle", "weight")).__getitems__(np.arange(n))
    labels = {k: t.numpy() for k, t in y.items()}
    labels["angle"] = np.clip(((np.degrees(labels["angle"]) + 30) // 12).astype(np.int64), 0, 4)
    labels["first five"], labels["noise"] = labels["digit"], np.random.default_rng(seed).integers(10, size=n)
    rows = np.flatnonzero(labels["digit"] < 5) if kind == "first five" else np.arange(n)
    return TensorDataset(scaled(x)[rows], mm.tensor(labels[kind][rows]))


def fit(model: nn.Module, training: TensorDataset, lr: float, epochs: int) -> mtl.Trainer:
    """Adam on all parameters."""
    task = mtl.Task("class", nn.CrossEntropyLoss(), metrics=["accuracy"])
    trainer = mtl.Trainer(model, [task], optim.Adam(model.parameters(), lr=lr))
    trainer.fit(DataLoader(training, 50, shuffle=True), epochs, verbose=False)
    return trainer


def pretrained(kind: str, seed: int, n: int = SIZE, epochs: int = EPOCHS) -> selection.Source:
    """A trained source, with all that is known of it."""
    training, held = labelled(kind, seed, n), labelled(kind, seed + 5000, 1000)
    mm.manual_seed(seed)
    trunk, head = models.lenet(include_top=False), nn.Linear(84, SOURCES[kind])
    own = fit(nn.Sequential(trunk, head), training, 2e-3, epochs).evaluate(DataLoader(held, 500))["class accuracy"]
    return selection.Source(trunk, head, own, held.tensors[0])


# %% [markdown]
r"""
**The target** Handwritten digits (MNIST), 20 of each class, or, without MNIST, printed ones that are bolder and more slanted.
"""


# %%
def target(root: str | None, seed: int) -> tuple[TensorDataset, TensorDataset]:
    """Few labelled pictures, and many to test with."""
    place, other = data.mnist_folder(root), {"shear": (0.3, 0.6), "stroke": (0.4, 0.7), "height": (18.0, 21.0)}
    parts = []
    for train in (True, False):
        whole = (
            data.MNIST(place, train=train) if place else data.RenderedDigits(6000, seed=900 + train, labels="digit", **other)
        )
        x, y = whole.__getitems__(np.arange(6000 if train else TEST))
        rng = np.random.default_rng(seed)
        rows = [rng.permutation(np.flatnonzero(y.numpy() == c))[:SHOTS] for c in range(10)] if train else [np.arange(TEST)]
        chosen = np.concatenate(rows)
        parts.append(TensorDataset(scaled(x[chosen]), y[chosen]))
    return parts[0], parts[1]


def fine_tuned(trunk: nn.Module, few: TensorDataset, test: TensorDataset, seed: int, steps: int = STEPS) -> float:
    """The accuracy, in percent, after fine-tuning a copy of the trunk under a new head."""
    mm.manual_seed(seed)
    model = nn.Sequential(copy.deepcopy(trunk), nn.Linear(84, 10))
    trainer = fit(model, few, 2e-3, max(1, steps * 50 // len(few)))
    return 100 * trainer.evaluate(DataLoader(test, 500))["class accuracy"]


def ranked(
    root: str | None, seed: int, n: int = SIZE, epochs: int = EPOCHS, steps: int = STEPS
) -> tuple[selection.Ranking, dict[str, float]]:
    """The scores of all sources, and what fine-tuning then gives."""
    few, test = target(root, seed)
    sources = {kind: pretrained(kind, seed, n, epochs) for kind in SOURCES}
    mm.manual_seed(seed)
    reference = nn.Sequential(models.lenet(include_top=False), nn.Linear(84, 10))
    fit(reference, few, 2e-3, max(1, steps * 50 // len(few)))
    scores = selection.rank(sources, *few.tensors, reference=reference[0], generator=mm.Generator(seed))
    return scores, {kind: fine_tuned(source.trunk, few, test, seed, steps) for kind, source in sources.items()}


# %%
def study(root: str | None, seeds: Sequence[int] = SEEDS) -> tuple[Table, Table]:
    """What each source scores and gives, and how well each score orders them; from all seeds."""
    runs = []
    for seed in seeds:
        runs.append(ranked(root, seed))
        say(f"seed {seed}: " + ", ".join(f"{kind} {a:.1f}" for kind, a in runs[-1][1].items()))
    names = list(runs[0][0].scores)
    what = "MNIST" if data.mnist_folder(root) else "printed digits of another kind"
    about = (
        f"{len(seeds)} seeds, ± half of a 95 % interval; sources: {SIZE:,} printed digits, {EPOCHS} epochs; target: {what}, {SHOTS} "
        f"labels a class, then {STEPS} steps of all parameters, accuracy on {TEST:,} test pictures in percent; Adam(0.002)"
    )
    table = Table("Six sources for one target", ["source", "fine-tuned", *names], about)
    for kind in SOURCES:
        tuned = interval([accuracies[kind] for _, accuracies in runs])
        table.add(kind, f"{tuned.mean:.1f} ± {tuned.half:.1f}", *(shown([r.scores[by][kind] for r, _ in runs]) for by in names))
    order = Table(
        "How well scores order six sources", ["score", "weighted τ", "finds the best", "points lost by its choice"], about
    )
    for by in (by for by in names if by not in ("parameters", "multiply-adds")):
        taus = interval([r.correlation(accuracies)[by] for r, accuracies in runs])
        chosen = [(r.order(by)[0], accuracies) for r, accuracies in runs]
        lost = interval([max(accuracies.values()) - accuracies[kind] for kind, accuracies in chosen])
        hits = sum(accuracies[kind] == max(accuracies.values()) for kind, accuracies in chosen)
        order.add(by, f"{taus.mean:+.2f} ± {taus.half:.2f}", f"{hits} of {len(runs)}", f"{lost.mean:.1f} ± {lost.half:.1f}")
    return table, order


def shown(values: Sequence[float]) -> str:
    """The mean, short."""
    mean = float(np.mean(values))
    return f"{mean:,.0f}" if mean > 1000 else f"{mean:.3f}"


# %% [markdown]
r"""
**You should see** LogME, H-score, LEEP and NCE find the best source in seven seeds of eight, at a loss of 0.3 points at most; their
order is much better than chance, τ about 0.6, and not perfect, as four of the six sources lie within two points. CKA is as good,
though it needs a network trained on the target. How good a source is at its own task says less, and the distance of the domains
worse than nothing: the source of noise, which knows least, has the pictures least apart, and is never the best. Size tells nothing
here, since all are of one size.

**Your turn** Make a source of other architecture (`models.mlp`), or of twice the pictures: do scores compare networks of different
width fairly? Take 5 labels a class for the scores: which of them still orders the sources?
"""


# %%
def main(root: str | None = None, n: int = 600, epochs: int = 2, steps: int = 60) -> dict[str, Any]:
    """All scores from one seed and a short training; then the tables of the full study."""
    scores, tuned = ranked(root, 0, n, epochs, steps)
    say(str(scores.table()))
    τ = scores.correlation(tuned)
    say("\nfine-tuned: " + ", ".join(f"{kind} {a:.1f} %" for kind, a in tuned.items()))
    say("weighted τ: " + ", ".join(f"{by} {t:+.2f}" for by, t in τ.items()))
    for name in ("six_sources", "source_scores"):
        table = Table.read(TABLES / f"{name}.md")
        say(f"\n{table}")
    return {"tuned": tuned, "τ": τ}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Scores that choose a source before transfer.")
    parser.add_argument("--data", metavar="DIR", help="folder with the MNIST files; else MINIMTL_DATA, else printed digits")
    parser.add_argument("--study", action="store_true", help="the full study")
    options = parser.parse_args()
    if options.study:
        for name, result in zip(("six_sources", "source_scores"), study(options.data), strict=True):
            result.save(TABLES / f"{name}.md", "python lessons/21_which_source.py --data DIR --study")
            say(f"\n{result.text()}")
    else:
        main(options.data)
