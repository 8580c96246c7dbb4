# %% [markdown]
r"""
# Five varied tasks: who should share a network?

**Goal** A picture of a printed digit has five labels: which digit, even or odd, how far turned, how bold, which pixels. Measure in
five ways how related these tasks are, let each measure propose two networks for the five tasks, and train every division into two
networks to see which proposal is any good.

**Needs** Lessons 2, 5 and 7.  **Time** 30 minutes.

**The mathematics** D1 §2.2 tells relatedness by data, by features and by objectives, and D1 §8 measures it by correlation and mutual
information. Here are all three. By labels (`mtl.label_correlation`, `mtl.cramers_v`, `mtl.correlation_ratio`, and in nats
`mtl.mutual_information`):

$$I = \sum_{a=1}^{A} \sum_{b=1}^{B} p_{ab} \ln \frac{p_{ab}}{r_a c_b}$$

By features: how alike two trunks trained for one task each see the same pictures, up to rotation and scale (`mtl.linear_cka`). By
objectives: the cosine of the gradients of two losses by φ (`mtl.gradient_cosine`), and the affinity (`mtl.affinity`)

$$Z_{ij} = 1 - \frac{L_j(\phi - \eta \frac{\partial L_i}{\partial \phi})}{L_j(\phi)},$$

the share by which a step for task $i$ lowers the loss of task $j$. Any of these matrices $M$ scores a division of the tasks into
groups $g$ (`mtl.grouping`): a task counts the mean of what the others in its group do for it, one on its own counts 0,

$$s = \sum_{j=1}^{K} \frac{\sum_{i=1}^{K} [g_i = g_j] [i \ne j] M_{ij} + [n_j = 1] M_{jj}}{\max(n_j - 1, 1)}, \quad
n_j = \sum_{i=1}^{K} [g_i = g_j].$$

Whether the highest score is also the best pair of networks, no formula says. Δm (`mtl.delta_m`) measures it.
"""

# %%
import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, mtl, nn, optim
from minimtl.data import DataLoader, transforms
from minimtl.mtl import evaluation, relatedness
from minimtl.mtl import weighting as W
from minimtl.mtl.evaluation.scores import rank
from minimtl.mtl.relatedness import Relatedness
from minimtl.mtl.relatedness.grouping import partitions
from minimtl.training import Table, say

TABLES, PICTURES = Path(__file__).parent / "tables", Path(__file__).parent / "pictures"
NAMES = ("digit", "parity", "angle", "weight", "mask")
METRIC = {"digit": "accuracy", "parity": "f1", "angle": "mae", "weight": "f1", "mask": "iou"}
SIZES, EPOCHS, WIDTH = (2000, 1000), 5, 32
SMALL = (1000, 500), 4  # of the live run
KNOWN = 0.1  # share of the training pictures whose weight is known
SEEDS, TUNING = range(5), (100, 101)  # rates are chosen, and relatedness is measured, on seeds that the study does not use
RATES = (2e-3, 4e-3, 8e-3)
RATE = 4e-3  # of the live run
VARIANCE = data.digits.RANGES["angle"][1] ** 2 / 3  # of the angles

Group = tuple[str, ...]
Scores = dict[str, list[float]]  # task → its metric, seed by seed


# %% [markdown]
r"""
**The data** are rendered from fonts. The tasks are as unequal as real ones: ten classes, two, a number, three classes, 784 pixels;
and the weight of the face is known for one training picture in ten, elsewhere its label is −100. What is missing counts neither for
the loss nor for the metric: `Task(…, missing=-100)`.
"""


# %%
@cache
def pictures(n: int, seed: int, known: float) -> data.RenderedDigits:
    """n pictures with all labels; that of the weight is kept for a share of them."""
    turn = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.15,), (0.3,))])
    found = data.RenderedDigits(n, seed, turn, labels=NAMES)
    hidden = mm.Generator(seed).rng.random(n) >= known
    found.targets["weight"] = mm.tensor(np.where(hidden, -100, found.targets["weight"].numpy()))
    return found


def loaders(sizes: tuple[int, int], seed: int) -> tuple[DataLoader, DataLoader]:
    """Every seed draws pictures of its own, 2 · seed those for training and 2 · seed + 1 those for testing, all labelled."""
    train, test = pictures(sizes[0], 2 * seed, KNOWN), pictures(sizes[1], 2 * seed + 1, 1.0)
    return DataLoader(train, batch_size=50, shuffle=True), DataLoader(test, batch_size=sizes[1])


# %% [markdown]
r"""
**The network** is small, so that tasks compete: two convolutions and 32 features are φ, one linear layer is each head.
"""


# %%
class Pixels(nn.Module):
    """(N, D) → (N, 1, 28, 28): a logit for each pixel"""

    def __init__(self, features: int) -> None:
        self.linear = nn.Linear(features, 784)

    def forward(self, z: mm.Tensor) -> mm.Tensor:
        return self.linear(z).reshape(-1, 1, 28, 28)


def network(*names: str, width: int = WIDTH) -> mtl.HardSharing:
    """φ: (N, 1, 28, 28) → (N, width)      θₖ: (N, width) → (N, classes), (N, 1) or (N, 1, 28, 28)"""
    trunk = nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=2, padding=2), nn.ReLU(),  # → (N, 6, 14, 14)
        nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.ReLU(),  # → (N, 12, 7, 7)
        nn.Flatten(), nn.Linear(588, width), nn.ReLU(),
    )  # fmt: skip
    outputs = {"digit": 10, "parity": 2, "angle": 1, "weight": 3}
    return mtl.HardSharing(trunk, {k: Pixels(width) if k == "mask" else nn.Linear(width, outputs[k]) for k in names})


def squared(ŷ: mm.Tensor, y: mm.Tensor) -> mm.Tensor:
    """Squared error over the variance of the angles: 1 for a network that knows nothing, near the other losses."""
    return nn.functional.mse_loss(ŷ, y) / VARIANCE


def column(y: mm.Tensor) -> mm.Tensor:
    """Labels as numbers with an axis for the one output: (N, …) → (N, 1, …)"""
    return mm.tensor(y.numpy()[:, None].astype(np.float32))


def tasks(*names: str) -> list[mtl.Task]:
    """Each task with the loss and the metric that suit it; angles in radians."""
    how: dict[str, dict[str, Any]] = {
        "digit": {"loss": nn.CrossEntropyLoss()},
        "parity": {"loss": nn.CrossEntropyLoss()},
        "angle": {"loss": squared, "target": column},
        "weight": {"loss": nn.CrossEntropyLoss(), "missing": -100},
        "mask": {"loss": nn.BCEWithLogitsLoss(), "target": column},
    }
    return [mtl.Task(k, metrics=[METRIC[k]], **how[k]) for k in names]


def adam(parameters: Iterable[nn.Parameter], lr: float) -> optim.Optimizer:
    """The rule of all runs."""
    return optim.Adam(parameters, lr=lr)


# %% [markdown]
r"""
**Five measures of relatedness**, from five networks for one task each and one network for all. A mask is no label that correlates; its
size stands for it, in four classes.
"""

# %%
MEASURES = ("label correlation", "label information", "CKA of features", "gradient cosine", "affinity")


def labels(dataset: data.RenderedDigits) -> dict[str, Any]:
    """{task: (N,)} of the training pictures."""
    found = {k: dataset.targets[k].numpy() for k in NAMES}
    area = found["mask"].mean(axis=(1, 2))
    return found | {"mask": np.searchsorted(np.quantile(area, (0.25, 0.5, 0.75)), area)}


def fitted(names: Group, training: Any, lr: float, epochs: int, seed: int) -> mtl.Trainer:
    """The trainer of a network for these tasks, after so many epochs; none is allowed."""
    mm.manual_seed(seed)
    model = network(*names)
    trainer = mtl.Trainer(model, tasks(*names), adam(model.parameters(), lr))
    if epochs:
        trainer.fit(training, epochs, verbose=False)
    return trainer


def by_objectives(training: Any, lr: float, epochs: int, seed: int) -> tuple[dict[str, Relatedness], mtl.Trainer]:
    """Cosines and affinities of all tasks together on 1,000 training pictures, the means over the ends of the epochs; η is the rate."""
    trainer = fitted(NAMES, training, lr, 0, seed)
    [(x, y), *_] = DataLoader(training.dataset, batch_size=1000)
    watch, Z = relatedness.Conflict(NAMES), np.zeros((len(NAMES), len(NAMES)))

    def losses() -> dict[str, mm.Tensor]:
        outputs = trainer.model(x)
        return {k: task.loss(*task.labelled(outputs[k], task.labels(y))) for k, task in trainer.tasks.items()}

    for _ in range(epochs):
        trainer.fit(training, 1, verbose=False)
        watch.add(mtl.jacobian(losses(), trainer.shared()))
        Z += relatedness.affinity(losses, trainer.shared(), lr).matrix / epochs
    return {"gradient cosine": watch.mean(), "affinity": Relatedness(list(NAMES), Z)}, trainer


def measured(
    seed: int, rates: Mapping[Group, float], sizes: tuple[int, int] = SIZES, epochs: int = EPOCHS
) -> tuple[dict[str, Relatedness], dict[str, dict[str, float]]]:
    """{measure: matrix}; and the metrics of the networks it took, {"alone" or "together": {task: metric}}."""
    training, test = loaders(sizes, seed)
    [(x, _)] = test
    z, alone = {}, {}
    for k in NAMES:
        trainer = fitted((k,), training, rates[(k,)], epochs, seed)
        alone[k] = trainer.evaluate(test)[f"{k} {METRIC[k]}"]
        with mm.no_grad():
            z[k] = trainer.model.features(x)
    found, joint = by_objectives(training, rates[NAMES], epochs, seed)
    y, scores = labels(training.dataset), joint.evaluate(test)
    matrices = {
        "label correlation": relatedness.label_correlation(y),
        "label information": relatedness.label_information(y),
        "CKA of features": Relatedness.of(relatedness.linear_cka, z),
        **found,
    }
    return matrices, {"alone": alone, "together": {k: scores[f"{k} {METRIC[k]}"] for k in NAMES}}


def pictured(matrices: Mapping[str, Relatedness], folder: Path) -> list[Path]:
    """A picture of each matrix."""
    from minimtl import plot  # matplotlib is slow to import: only when a picture is drawn

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"five_tasks_{name.replace(' ', '_')}.png" for name in matrices]
    for file, (name, matrix) in zip(files, matrices.items(), strict=True):
        plot.matrix(matrix, name).savefig(file, dpi=80)
    return files


def proposed(matrix: Relatedness) -> list[Group]:
    """The division into at most two networks with the highest score; a task on its own counts 0, as one that nothing helps."""
    return [tuple(group) for group in matrix.groups(2, alone=0.0)]


def told(division: Sequence[Group]) -> str:
    """A division as a row of a table calls it."""
    return " / ".join(" + ".join(group) for group in division) if len(division) > 1 else "all together"


# %% [markdown]
r"""
**The measured answer** For every group of tasks, 31 in all, a network of its own, at the best of three rates. From these all 16
divisions into at most two networks are put together, and each is set against the five networks that have one task each.
"""

# %%
VARIANTS: dict[str, tuple[int, Callable[[], Mapping[str, Any]]]] = {
    "sum": (WIDTH, dict),
    "uncertainty": (WIDTH, lambda: {"weighting": W.Uncertainty(classification=("digit", "parity", "weight", "mask"))}),
    "per label": (WIDTH, lambda: {"weighting": W.PerLabel()}),
    "twice as wide": (2 * WIDTH, dict),
}


def runs_of(names: Group, lr: float, seeds: Sequence[int], runs: Path, variant: str) -> Scores:
    """The metrics of a network for these tasks, from all seeds; runs that are in the folder are not made again."""
    width, options = VARIANTS[variant]
    name = " + ".join(names)
    result = mtl.compare(
        tasks(*names),
        partial(loaders, SIZES),
        {name: partial(network, *names, width=width)},
        {variant: options},
        partial(adam, lr=lr),
        EPOCHS,
        seeds,
        runs / f"rate {lr}",
    )
    return {k: by[METRIC[k]] for k, by in result.scores(name, variant).items()}


def gains(scores: Scores, alone: Scores) -> list[float]:
    """Δm of each seed, in percent, against the same seed's networks for one task."""

    def of_seed(values: Scores, i: int) -> dict[str, dict[str, float]]:
        return {k: {METRIC[k]: values[k][i]} for k in scores}

    seeds = range(len(next(iter(scores.values()))))
    return [evaluation.delta_m(of_seed(scores, i), of_seed(alone, i)) for i in seeds]


def singles(rates: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> dict[str, evaluation.Alone]:
    """Each task alone, at the best of its rates."""
    make = partial(evaluation.single_task, network, data=partial(loaders, SIZES), optimizer=adam, epochs=EPOCHS, seeds=seeds)
    return {k: make(tasks(k), rates=rates[k])[k] for k in NAMES}


def trained(runs: Path) -> tuple[dict[Group, float], dict[Group, Scores], dict[str, Scores]]:
    """The rates of all groups, their metrics, and those of the variants of all together."""
    chosen = singles(dict.fromkeys(NAMES, RATES), TUNING)
    basis = {k: one.scores[METRIC[k]] for k, one in chosen.items()}
    final = singles({k: (one.lr,) for k, one in chosen.items()}, SEEDS)
    alone = {k: one.scores[METRIC[k]] for k, one in final.items()}
    rates: dict[Group, float] = {(k,): one.lr for k, one in chosen.items()}
    scores: dict[Group, Scores] = {(k,): {k: alone[k]} for k in NAMES}
    others: dict[str, Scores] = {}
    networks = [(group, "sum") for size in range(2, len(NAMES) + 1) for group in combinations(NAMES, size)]
    for group, variant in [*networks, *((NAMES, v) for v in VARIANTS if v != "sum")]:
        tried = {lr: np.mean(gains(runs_of(group, lr, TUNING, runs, variant), basis)) for lr in RATES}
        lr = max(tried, key=lambda lr: tried[lr])
        found = runs_of(group, lr, SEEDS, runs, variant)
        if variant == "sum":
            rates[group], scores[group] = lr, found
        else:
            others[f"all together, {variant}"] = found
    return rates, scores, others


def divisions() -> list[list[Group]]:
    """All ways to give the five tasks one network or two."""
    ways = (np.array(label) for label in partitions(len(NAMES), 2))
    return [[tuple(np.array(NAMES)[label == g].tolist()) for g in range(max(label) + 1)] for label in ways]


# %%
def study(runs: Path) -> tuple[dict[str, Table], dict[str, Relatedness]]:
    """The four tables, and the matrices."""
    rates, scores, others = trained(runs)
    alone = {k: scores[(k,)][k] for k in NAMES}
    ways = {told(d): {k: v for group in d for k, v in scores[group].items()} for d in divisions()}
    per_seed = [measured(seed, rates)[0] for seed in TUNING]
    matrices = {m: Relatedness(list(NAMES), np.mean([one[m].matrix for one in per_seed], axis=0)) for m in MEASURES}
    pairs = np.zeros((len(NAMES), len(NAMES)))
    for i, a in enumerate(NAMES):
        for j, b in enumerate(NAMES):
            if i != j:
                group = (a, b) if (a, b) in scores else (b, a)
                pairs[i, j] = np.mean(gains({b: scores[group][b]}, alone))
    matrices["gain of pairs"] = Relatedness(list(NAMES), pairs)
    about = (
        f"Rendered digits: {SIZES[0]:,} for training, the weight known for a tenth of them, {SIZES[1]:,} for testing; {EPOCHS} epochs, "
        f"Adam at the best of {RATES}, chosen for each network on seeds {TUNING}; {len(SEEDS)} other seeds, "
        f"± is half of a 95 % interval; Δm against each task alone, seed by seed"
    )
    tables = {
        "five_tasks": by_way(ways | others, alone, about),
        "five_tasks_groups": by_measure(matrices, ways, alone, about),
        "five_tasks_matrices": by_pair(matrices),
        "five_tasks_transfer": by_task(ways | others, matrices, alone, about),
    }
    return tables, matrices


def cell(values: Sequence[float], sign: str = "") -> str:
    """Mean and half of the interval."""
    found = evaluation.interval(values)
    return f"{found.mean:{sign}.2f} ± {found.half:.2f}"


def against(scores: Scores, other: Scores, alone: Scores) -> str:
    """By how much Δm is higher than that of another way, seed by seed."""
    found = evaluation.paired(gains(scores, alone), gains(other, alone))
    return f"{found.mean:+.2f} ± {found.half:.2f}"


def by_way(ways: dict[str, Scores], alone: Scores, about: str) -> Table:
    """A row for every way to train the five tasks, the highest Δm first."""
    table = Table(
        "Five tasks on one network or two",
        ["networks", *(f"{k} {METRIC[k]}" for k in NAMES), "Δm, %", "− all together"],
        f"{about}; shares in percent, mae in milliradians; two networks cost twice as much as one, five five times",
    )
    scale = {k: 1000 if METRIC[k] == "mae" else 100 for k in NAMES}
    for name in sorted(ways, key=lambda name: -np.mean(gains(ways[name], alone))):
        shown = (cell([scale[k] * v for v in ways[name][k]]) for k in NAMES)
        more = "" if name == "all together" else against(ways[name], ways["all together"], alone)
        table.add(name, *shown, cell(gains(ways[name], alone), "+"), more)
    table.add("each task alone", *(cell([scale[k] * v for v in alone[k]]) for k in NAMES), "0", "")
    return table


def by_measure(matrices: dict[str, Relatedness], ways: dict[str, Scores], alone: Scores, about: str) -> Table:
    """A row for each measure: what it proposes, what that is worth, and whether its numbers order the pairs as their gains do."""
    table = Table(
        "What measures of relatedness propose",
        ["measure", "proposes", "Δm, %", "− all together", "place of 16", "rank correlation"],
        f"{about}; relatedness on seeds {TUNING}; place among all divisions into at most two networks; rank correlation of the "
        "measure with the gains of 20 ordered pairs; the last row looks at the gains of pairs themselves, on the study's own seeds",
    )
    off = ~np.eye(len(NAMES), dtype=bool)
    order = sorted(ways, key=lambda name: -np.mean(gains(ways[name], alone)))
    truth = rank(matrices["gain of pairs"].matrix[off])
    for name, matrix in matrices.items():
        way = told(proposed(matrix))
        more = "" if way == "all together" else against(ways[way], ways["all together"], alone)
        ρ = np.corrcoef(rank(matrix.matrix[off]), truth)[0, 1]
        table.add(name, way, cell(gains(ways[way], alone), "+"), more, order.index(way) + 1, f"{ρ:.2f}")
    return table


def by_pair(matrices: dict[str, Relatedness]) -> Table:
    """All matrices, a row for each task."""
    table = Table(
        "How related five tasks are",
        ["matrix", *NAMES],
        f"Measures: means of the seeds {TUNING}. Gain: by how many percent the metric of the task above is better in a network for it "
        f"and the task at the left than alone, the mean of the {len(SEEDS)} seeds of the study",
    )
    for name, matrix in matrices.items():
        for k, row in zip(NAMES, matrix.matrix, strict=True):
            table.add(f"{name}: {k}", *(f"{v:.4g}" for v in row))
    return table


def by_task(ways: dict[str, Scores], matrices: dict[str, Relatedness], alone: Scores, about: str) -> Table:
    """What each task gains or loses, for one network and for what the measures propose."""
    table = Table("Which tasks gain from company", ["networks", *NAMES], f"{about}; in units of the metric, above 0 is better")
    asked = dict.fromkeys(["all together", "all together, twice as wide", *(told(proposed(m)) for m in matrices.values())])
    for way in asked:
        found = evaluation.negative_transfer(ways[way], alone, METRIC)
        table.add(way, *(f"{g.mean:+.4f} ± {g.half:.4f}, {found.verdict(k)}" for k, g in found.gains.items()))
    return table


# %% [markdown]
r"""
**You should see** CLAIMS

**Your turn** CLAIMS
"""


# %%
def main(sizes: tuple[int, int] = SMALL[0], epochs: int = SMALL[1], out: str | Path = "out") -> dict[str, Any]:
    """The measures and their proposals, live on less data and one seed; then the tables of the full study."""
    say(f"{sizes[0]:,} rendered digits, {epochs} epochs, one seed: five networks for a task each, one for all")
    rates: dict[Group, float] = {NAMES: RATE, **{(k,): RATE for k in NAMES}}
    matrices, scores = measured(0, rates, sizes, epochs)
    for name, matrix in matrices.items():
        say(f"\n{name}; proposes {told(proposed(matrix))}\n{matrix.table().text()}")
    say(f"\nSaved {', '.join(map(str, pictured(matrices, Path(out))))}\n")
    for k in NAMES:
        say(f"{k:7s} {METRIC[k]:9s} alone {scores['alone'][k]:.3f}, together {scores['together'][k]:.3f}")
    joint, alone = ({k: [v] for k, v in scores[way].items()} for way in ("together", "alone"))
    [Δm] = gains(joint, alone)
    say(f"Δm {Δm:+.1f} %")
    for name in ("five_tasks", "five_tasks_groups", "five_tasks_matrices", "five_tasks_transfer"):
        table = Table.read(TABLES / f"{name}.md")
        say(f"\n{table}")
    return {"Δm": Δm, "matrices": matrices, **scores}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Five tasks in a picture: which of them should share a network?")
    parser.add_argument("--out", metavar="DIR", default="out", help="where the pictures of the live run go (out)")
    parser.add_argument("--study", metavar="DIR", help="the full study, 15 minutes; its runs are kept in this folder")
    options = parser.parse_args()
    if options.study:
        tables, found = study(Path(options.study))
        pictured(found, PICTURES)
        for file, table in tables.items():
            table.save(TABLES / f"{file}.md", "python lessons/11_five_tasks.py --study RUNS")
            say(f"\n{table}")
    else:
        main(out=options.out)
