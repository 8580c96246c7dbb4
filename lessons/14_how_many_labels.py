# %% [markdown]
r"""
# How many labels until transfer stops paying?

**Goal** Learn handwritten digits from 1, 5, 10, 100 and 1,000 labels a class: from scratch, or from a network that was trained on
something else, in eight ways. See where transfer gains, by how much, how deep to freeze, and from how many labels on nothing of it
is left. Then a source that does harm, and how to use it without harm.

**Needs** Lesson 13.  **Time** 20 minutes.

**The mathematics** A source gives θₛ; every way starts from there, θₜ ← θₛ (`tl.fine_tune`), and differs in what may move: all of
it, what lies above a depth, first the head and then all; or an update beside it, of low rank (`tl.lora`):

$$D_{ij} = \frac{\alpha}{r^p} \sum_{k=1}^{r} B_{ik} A_{kj}$$

or all of it, held to where it began (`tl.l2_sp`):

$$R = \frac{\alpha}{2} \sum_{i=1}^{n} (w_i - s_i)^2 + \frac{\beta}{2} \sum_{j=1}^{m} v_j^2$$

D4's schemes are among them: full, partial (frozen to a depth) and zero (from scratch).
"""

# %%
import argparse
import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, models, mtl, nn, optim, transfer
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval, paired
from minimtl.training import Callback, Scheduled, Table, say

TABLES = Path(__file__).parent / "tables"
SHOTS, STEPS, TEST = (1, 5, 10, 100, 1000), {1: 200, 5: 200, 10: 200, 100: 300, 1000: 600}, 2000
RATES, TUNING, SEEDS = (1e-3, 4e-3), (100, 101), range(5)
LAYERS = ["features.0", "features.3", "features.8", "features.10", "fc"]
DEPTHS = {
    "conv 1": "features.2",
    "conv 2": "features.5",
    "120": "features.8",
    "84": "features.10",
}  # D1's network, `models.lenet`

# %% [markdown]
r"""
**Two sources** *Printed*: 6,000 digits drawn from fonts, in ten classes; the target is MNIST's ten digits. *0 to 4*: 6,000 pictures
of MNIST's first five digits; the target is the other five. Without MNIST the target is printed digits of another kind.
"""


# %%
def pictures(dataset: data.Dataset, rows: Any) -> tuple[mm.Tensor, mm.Tensor]:
    """(N, 1, 28, 28) around 0, and digits."""
    x, y = dataset.__getitems__(np.asarray(rows))
    return mm.tensor((x.numpy()[:, None].astype(np.float32) / 255 - 0.1307) / 0.3081), y


def written(root: str | None, train: bool) -> data.Dataset:
    """MNIST, or printed digits that are bolder and more slanted than the source's."""
    place, other = data.mnist_folder(root), {"shear": (0.3, 0.6), "stroke": (0.4, 0.7), "height": (18.0, 21.0)}
    return data.MNIST(place, train=train) if place else data.RenderedDigits(20_000, seed=900 + train, labels="digit", **other)


def rows_of(y: np.ndarray, classes: Sequence[int], shots: int, rng: np.random.Generator) -> np.ndarray:
    """So many rows of each class, drawn."""
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:shots] for c in classes])


class Problem:
    """A source that is pretrained on, and a target to learn from few labels; `classes` are the target's."""

    def __init__(self, source: str, root: str | None) -> None:
        self.source, self.pool, self.held = source, written(root, True), written(root, False)
        self.classes = range(10) if source == "printed" else range(5, 10)
        self.y = pictures(self.pool, np.arange(len(self.pool)))[1].numpy()
        x, y = pictures(self.held, np.arange(3 * TEST))
        kept = np.flatnonzero(y.numpy() >= self.classes[0])[:TEST]
        self.test = TensorDataset(x[kept], y[kept] - self.classes[0])

    def pretrained(self, seed: int, n: int = 6000, epochs: int = 5) -> models.LeNet:
        """θₛ"""
        if self.source == "printed":
            x, y = pictures(data.RenderedDigits(n, seed=seed, labels="digit"), np.arange(n))
        else:
            rng = np.random.default_rng(1000 + seed)
            x, y = pictures(self.pool, rows_of(self.y, range(5), n // 5, rng))
        mm.manual_seed(seed)
        model = models.lenet(num_classes=int(y.numpy().max()) + 1)
        fit(model, TensorDataset(x, y), 2e-3, steps=epochs * n // 50)
        return model

    def target(self, shots: int, seed: int) -> TensorDataset:
        """So many labelled pictures of each class, drawn by the seed."""
        x, y = pictures(self.pool, rows_of(self.y, self.classes, shots, np.random.default_rng(seed)))
        return TensorDataset(x, y - self.classes[0])


# %% [markdown]
r"""
**Nine ways** Each is a function that takes a copy of θₛ with a new head and trains it, at a rate that is tuned for it.
"""


# %%
def fit(
    model: nn.Module,
    training: TensorDataset,
    lr: float,
    steps: int,
    groups: Any = None,
    slowly: bool = False,
    penalties: Any = (),
) -> nn.Module:
    """So many steps of Adam on what requires a gradient; `slowly` as ULMFiT: from the head downwards, at rates that rise and fall."""
    task, loader = mtl.Task("digit", nn.CrossEntropyLoss(), metrics=["accuracy"]), DataLoader(training, 50, shuffle=True)
    epochs, rule = max(1, steps // len(loader)), optim.Adam(groups or [p for p in model.parameters() if p.requires_grad], lr=lr)
    callbacks: list[Callback] = []
    if slowly:
        slanted = transfer.SlantedTriangularLR(rule, epochs * len(loader))
        callbacks = [transfer.GradualUnfreezing(LAYERS, every=epochs // (2 * len(LAYERS))), Scheduled(slanted, every="step")]
    mtl.Trainer(model, [task], rule, penalties=penalties).fit(loader, epochs, verbose=False, callbacks=callbacks)
    return model


def frozen_through(part: str) -> Callable[..., nn.Module]:
    """Partial transfer: what comes up to the end of a part stays."""
    return lambda θ, training, lr, steps: fit(transfer.freeze(θ, through=part), training, lr, steps)


def scratch(θ: Any, training: TensorDataset, lr: float, steps: int) -> nn.Module:
    """Zero transfer."""
    return fit(models.lenet(num_classes=θ.fc.out_features), training, lr, steps)


def two_stage(θ: Any, training: TensorDataset, lr: float, steps: int) -> nn.Module:
    """Half of the steps for the head, the other half for all, at a quarter of the rate."""
    transfer.two_stage(θ, "fc", lambda model, stage: fit(model, training, lr / 4 ** (stage - 1), steps // 2))
    return θ


def lora(θ: Any, training: TensorDataset, lr: float, steps: int) -> nn.Module:
    """An update of rank 4 beside every layer, and the head."""
    return fit(transfer.Delta(θ, {"features": transfer.lora(r=4), "fc": transfer.itself}), training, lr, steps)


def l2_sp(θ: Any, training: TensorDataset, lr: float, steps: int) -> nn.Module:
    """All, held to θₛ."""
    return fit(θ, training, lr, steps, penalties=[transfer.l2_sp(θ, alpha=0.01, new="fc")])


WAYS: dict[str, Callable[..., nn.Module]] = {
    "scratch": scratch,
    **{f"frozen through {depth}": frozen_through(part) for depth, part in DEPTHS.items()},
    "two stages": two_stage, "full": fit, "LoRA": lora, "L2-SP": l2_sp,
}  # fmt: skip

# %% [markdown]
r"""
**Six more**, at five labels a class: an update of biases alone; adapters, $y = h + U \sigma(D h + a) + b$ behind two layers
(`tl.adapter`; LoRA's own output is `tl.lora.output`); a rate for each layer, $\eta / d^{n - l}$ (`tl.discriminative`), also with
layers thawed one after the other and rates on a slanted triangle (`tl.slanted_triangular`); feature maps held to the source's
(`tl.feature_maps`, called DELTA); and the smallest singular value of a batch's features held down (`tl.bss`).
"""


# %%
def beside(update: dict[str, Any]) -> Callable[..., nn.Module]:
    """θ′ beside a fixed θ, and the head."""
    return lambda θ, training, lr, steps: fit(transfer.Delta(θ, {**update, "fc": transfer.itself}), training, lr, steps)


def by_layer(slowly: bool) -> Callable[..., nn.Module]:
    """A rate for each layer."""

    def way(θ: Any, training: TensorDataset, lr: float, steps: int) -> nn.Module:
        return fit(θ, training, lr, steps, transfer.discriminative(θ, lr, layers=LAYERS), slowly)

    return way


def held(part: str, penalty: Callable[[nn.Module], Any]) -> Callable[..., nn.Module]:
    """All, with a penalty of what a part gives."""

    def way(θ: Any, training: TensorDataset, lr: float, steps: int) -> nn.Module:
        return fit(transfer.Watched(θ, part), training, lr, steps, penalties=[penalty(copy.deepcopy(θ))])

    return way


MORE: dict[str, Callable[..., nn.Module]] = {
    "biases": beside({"features.*.bias": transfer.full}),
    "adapters": beside({"features.8": transfer.adapter(120), "features.10": transfer.adapter(84)}),
    "a rate for each layer": by_layer(False), "thawed slowly": by_layer(True),
    "DELTA": held("features.5", lambda source: transfer.feature_maps(source, 0.01, "features.5")),
    "BSS": held("features", lambda source: transfer.bss(0.001, "features")),
}  # fmt: skip


def accuracy(way: str, source: nn.Module, problem: Problem, shots: int, lr: float, seed: int, steps: int) -> float:
    """On the test pictures, in percent."""
    mm.manual_seed(seed)
    θ = transfer.replace_head(copy.deepcopy(source), "fc", nn.Linear(84, len(problem.classes)))
    model = (WAYS | MORE)[way](θ, problem.target(shots, seed), lr, steps)
    x, y = problem.test.tensors
    with nn.utils.evaluating(model):
        return 100 * float((model(x).numpy().argmax(axis=1) == y.numpy()).mean())


# %%
def study(problem: Problem, runs: Path, seeds: Sequence[int] = SEEDS, more: bool = False) -> Table:
    """All ways at all numbers of labels, or the others at five, from all seeds; runs that are in the folder are not made again."""
    sources: dict[int, nn.Module] = {}
    found: dict[str, dict[int, list[float]]]

    def run(way: str, shots: int, lr: float, seed: int) -> float:
        path = runs / problem.source / f"{way}-{shots}-{lr}-{seed}.json"
        if not path.exists():
            if seed not in sources:
                sources[seed] = problem.pretrained(seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(accuracy(way, sources[seed], problem, shots, lr, seed, STEPS[shots])))
        return float(json.loads(path.read_text()))

    def best(way: str, shots: int) -> float:
        return max(RATES, key=lambda lr: float(np.mean([run(way, shots, lr, seed) for seed in TUNING])))

    if more:
        found = {way: {5: [run(way, 5, best(way, 5), seed) for seed in seeds]} for way in ("scratch", "full", *MORE)}
        return told(problem, found, len(seeds))
    rates = {way: {few: best(way, shots) for few, shots in (("few", 5), ("many", 100))} for way in WAYS}
    found = {}
    for way in WAYS:
        at = {shots: rates[way]["few" if shots <= 10 else "many"] for shots in SHOTS}
        found[way] = {shots: [run(way, shots, at[shots], seed) for seed in seeds] for shots in SHOTS}
        say(f"{problem.source}, {way}, rates {rates[way]}: {[round(float(np.mean(v)), 1) for v in found[way].values()]}")
    return told(problem, found, len(seeds))


def told(problem: Problem, found: dict[str, dict[int, list[float]]], seeds: int) -> Table:
    """The table of a study: accuracy, and beside it the gain over scratch."""
    what = {"printed": "ten digits of MNIST after 6,000 printed ones", "0-4": "the digits 5 to 9 of MNIST after 0 to 4"}
    about = (
        f"{what[problem.source]}: accuracy on {TEST:,} test pictures in percent, and in brackets the gain over scratch in pairs of "
        f"seeds; {seeds} seeds, ± half of a 95 % interval; Adam at the best of {RATES}, found for each way at 5 labels and at 100, "
        f"from {len(TUNING)} other seeds; steps by labels {STEPS}"
    )
    shots = list(found["scratch"])
    table = Table(f"How many labels, source {problem.source}", ["way", *(f"{n:,} a class" for n in shots)], about)
    for way, by in found.items():
        cells = []
        for n in shots:
            mean, gain = interval(by[n]), paired(by[n], found["scratch"][n])
            cells.append(
                f"{mean.mean:.1f} ({gain.mean:+.1f} ± {gain.half:.1f})"
                if way != "scratch"
                else f"{mean.mean:.1f} ± {mean.half:.1f}"
            )
        table.add(way, *cells)
    return table


def picture(table: Table, out: Path, name: str) -> Path:
    """The gain over scratch against the number of labels, a line for each way."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    panel = figure.subplots()
    for i, row in enumerate(table.rows[1:]):
        gains = np.array([[float(part) for part in cell.split("(")[1].rstrip(")").split(" ± ")] for cell in row[1:]])
        style = "--" if row[0].startswith("frozen") else "-"
        panel.errorbar(
            np.array(SHOTS) * 1.06 ** (i - 4), *gains.T, fmt=style, marker=".", capsize=2, color=f"C{i}", label=row[0]
        )
    panel.axhline(0, color="k", linewidth=1)
    panel.set(xscale="log", xlabel="labels a class", ylabel="gain over scratch, points of accuracy", title=table.title)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=110)
    return out / f"{name}.png"


# %% [markdown]
r"""
**You should see** After printed digits transfer gains at every number of labels up to 100 a class, and at 1,000 nothing that five
seeds could tell. From one label a class, all that was learnt should stay: with everything frozen but the head the gain is 19
points, and moving all of it gives 12. From five on the two convolutions are what is worth keeping: frozen through conv 2, 10 points
are gained at five labels and 2 at 100. Freezing deeper costs the more, the more labels there are: 9 points at 1,000. LoRA and L2-SP
gain as full fine-tuning does where labels are few, within the noise; so do the six others at five labels.

After 0 to 4 the frozen features do harm: 11 points are lost to training from scratch at five labels, 12 at 1,000, for certain. That
is negative transfer, and it is avoided by moving more: through conv 2 the same source gains 5 points at five labels, and at no
number of labels is a loss certain. What the last layers know is which of five digits it is; what the first know serves any.

**Your turn** Add a way: biases alone (`transfer.Delta(θ, {"*.bias": transfer.full, "fc": transfer.itself})`), a rate for each layer
(`transfer.discriminative`), or a layer more in every epoch (`transfer.GradualUnfreezing`). Where on the curves does it lie?
"""


# %%
def main(root: str | None = None, out: str | Path = "out", n: int = 1500, steps: int = 60) -> dict[str, float]:
    """Four ways at five labels a class, from one seed; then the tables of the full study and their pictures."""
    problem, found = Problem("printed", root), {}
    source = problem.pretrained(0, n, 2)
    say(
        f"Target: {'MNIST' if data.mnist_folder(root) else 'other printed digits'}, 5 labels a class; {n:,} printed digits as source"
    )
    for way in ("scratch", "frozen through 84", "full", "LoRA"):
        found[way] = accuracy(way, source, problem, 5, 2e-3, 0, steps)
        say(f"{way:18s} {found[way]:.1f} %")
    for name in ("labels_printed", "labels_0_to_4"):
        table = Table.read(TABLES / f"{name}.md")
        say(f"\n{table}\nSaved {picture(table, Path(out), name)}")
    say(f"\n{Table.read(TABLES / 'labels_more.md')}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Transfer against the number of labels.")
    parser.add_argument("--data", metavar="DIR", help="folder with the MNIST files; else MINIMTL_DATA, else printed digits")
    parser.add_argument("--out", metavar="DIR", default="out", help="where pictures go (out)")
    parser.add_argument("--study", metavar="DIR", help="the full study, half an hour; its runs are kept in this folder")
    parser.add_argument("--more", action="store_true", help="of the study: the six other ways, at five labels a class")
    parser.add_argument("--source", choices=("printed", "0-4"), default="printed", help="of the study")
    options = parser.parse_args()
    if options.study:
        result = study(Problem(options.source, options.data), Path(options.study), more=options.more)
        name = "labels_more" if options.more else "labels_printed" if options.source == "printed" else "labels_0_to_4"
        flags = f"--study RUNS --source {options.source}" + " --more" * options.more
        result.save(TABLES / f"{name}.md", f"python lessons/14_how_many_labels.py --data DIR {flags}")
        say(result.text())
    else:
        main(options.data, options.out)
