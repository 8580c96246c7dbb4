# %% [markdown]
r"""
# What there is to share: two regressions on one subspace, and on noise

**Goal** D2's system, made to work: two regressions from data sets of their own, one shared layer, and the $\lambda R(\theta)$
that D2 prints and never uses. On data that have something in common, on D2's own data, which have not; and the transfer that its
listing promises.

**Needs** Lesson 2.  **Time** 15 minutes.

**The mathematics** D2 §3.1.4 asks for losses and a penalty (`mtl.regularised_loss`):

$$L(\theta) = \sum_{i=1}^{n} L_i(\theta) + \lambda R(\theta)$$

Here $R$ is ½‖θ‖² (`mtl.l2`); or, where every task has a network of its own, what keeps the two together: their distance
(`mtl.l2_distance`) or the trace norm of both as one matrix (`mtl.trace_norm`). The planted data are $y_k = a_k^\top
\mathrm{relu}(B x) + \text{noise}$ with one $B$ of 3 × 10 for all tasks: a subspace of three dimensions is all that matters of
$x$.

D2's listing cannot run: a `Sequential` of tensors cannot be built, two inputs go to a model with one, and a layer of ten is added
behind outputs of one. Its targets are noise, independent of its inputs.
"""

# %%
import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import mtl, nn, optim
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval, paired
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
TASKS = ("1", "2")
N, FEW, RATE, EPOCHS, SEEDS = 100, 20, 0.01, 100, range(10)
NOISE = 0.1


# %%
def planted(seed: int, tasks: int = 3) -> Callable[[int, int], TensorDataset]:
    """(k, n) → n samples of task k, on a subspace that all tasks share."""
    rng = np.random.default_rng(seed)
    B, a = rng.standard_normal((3, 10)) / 10**0.5, rng.standard_normal((tasks, 3))

    def samples(k: int, n: int) -> TensorDataset:
        x = rng.standard_normal((n, 10))
        y = np.maximum(x @ B.T, 0) @ a[k] + NOISE * rng.standard_normal(n)
        return TensorDataset(mm.tensor(x.astype(np.float32)), mm.tensor(y[:, None].astype(np.float32)))

    return samples


def noise(seed: int) -> Callable[[int, int], TensorDataset]:
    """D2's own data: inputs and targets from U(0, 1), independent of each other."""
    rng = np.random.default_rng(seed)

    def samples(k: int, n: int) -> TensorDataset:
        return TensorDataset(*(mm.tensor(rng.random((n, width), dtype=np.float32)) for width in (10, 1)))

    return samples


# %%
def trunk() -> nn.Module:
    """D2's shared layer: Dense(10, relu)."""
    return nn.Sequential(nn.Linear(10, 10), nn.ReLU())


def hard() -> mtl.Sharing:
    """One layer for both tasks."""
    return mtl.HardSharing(trunk(), {k: nn.Linear(10, 1) for k in TASKS})


def soft() -> mtl.Sharing:
    """A layer for each task; without a penalty the tasks are alone."""
    return mtl.SoftSharing({k: trunk() for k in TASKS}, {k: nn.Linear(10, 1) for k in TASKS})


def held(R: Callable[[Any], mm.Tensor], λ: float, on: Any = "all") -> list[mtl.Penalty]:
    """λR, none where λ is 0."""
    return [mtl.Penalty(R, λ, on)] if λ else []


VARIANTS: dict[str, tuple[Callable[[], mtl.Sharing], list[mtl.Penalty]]] = {
    "each task alone": (soft, []),
    **{f"alone, L2, λ = {λ}": (soft, held(mtl.l2, λ)) for λ in (0.003, 0.03)},
    "hard sharing": (hard, []),
    **{f"hard sharing, L2, λ = {λ}": (hard, held(mtl.l2, λ)) for λ in (0.003, 0.01, 0.03, 0.1)},
    **{f"soft, distance, λ = {λ}": (soft, held(mtl.l2_distance, λ, mtl.SoftSharing.corresponding)) for λ in (0.01, 0.1, 1.0)},
    **{f"soft, trace norm, λ = {λ}": (soft, held(mtl.trace_norm, λ, mtl.SoftSharing.corresponding)) for λ in (0.003, 0.01, 0.03)},
}  # fmt: skip


def fitted(name: str, samples: Callable[[int, int], TensorDataset], seed: int) -> tuple[mtl.Sharing, float]:
    """A variant trained on 100 samples of each task, and its mean squared error on 1,000 others, the mean of both tasks."""
    mm.manual_seed(seed)
    make, penalties = VARIANTS[name]
    model = make()
    tasks = [mtl.Task(k, nn.MSELoss(), metrics=["mse"]) for k in TASKS]
    train = {k: DataLoader(samples(i, N), 32, shuffle=True) for i, k in enumerate(TASKS)}
    test = {k: DataLoader(samples(i, 1000), 1000) for i, k in enumerate(TASKS)}
    trainer = mtl.Trainer(model, tasks, optim.Adam(model.parameters(), lr=RATE), penalties=penalties)
    trainer.fit(train, EPOCHS, verbose=False)
    found = trainer.evaluate(test)
    return model, float(np.mean([found[f"{k} mse"] for k in TASKS]))


# %% [markdown]
r"""
**Transfer** D2's second half: a source model, then a new task. The shared layer that two tasks have trained is kept, frozen or free,
under a new head, and a third task is learnt from 20 samples; beside it the same from scratch.
"""


# %%
def transferred(source: nn.Module | None, frozen: bool, train: TensorDataset, test: TensorDataset, seed: int) -> float:
    """The error on a third task of a network whose layer starts at the source's, or anew."""
    mm.manual_seed(1000 + seed)
    layer = trunk()
    if source is not None:
        layer.load_state_dict(source.state_dict())
    layer.requires_grad_(not frozen)
    model = mtl.HardSharing(layer, {"3": nn.Linear(10, 1)})
    trained = [p for p in model.parameters() if p.requires_grad]
    trainer = mtl.Trainer(model, [mtl.Task("3", nn.MSELoss(), metrics=["mse"])], optim.Adam(trained, lr=RATE))
    trainer.fit(DataLoader(train, 32, shuffle=True), 4 * EPOCHS, verbose=False)
    return trainer.evaluate(DataLoader(test, 1000))["3 mse"]


def cell(values: Iterable[float]) -> str:
    """Mean and half of the interval."""
    found = interval(list(values))
    return f"{found.mean:.4f} ± {found.half:.4f}"


def study(seeds: Any) -> dict[str, Table]:
    """All variants on both kinds of data; and the transfer."""
    about = f"Mean squared error on 1,000 test samples, the mean of both tasks; {N} samples each, Adam({RATE}), {EPOCHS} epochs"
    both = Table("Two regressions", ["variant", "planted", "against alone", "D2's noise"], f"{about}; {len(list(seeds))} seeds")
    errors = {name: [fitted(name, planted(seed), seed)[1] for seed in seeds] for name in VARIANTS}
    for name in VARIANTS:
        gain = paired(errors[name], errors["each task alone"])
        against = "" if name == "each task alone" else f"{gain.mean:+.4f} ± {gain.half:.4f}"
        random = cell(fitted(name, noise(seed), seed)[1] for seed in seeds) if "λ" not in name else ""
        both.add(name, cell(errors[name]), against, random)
        say(f"{both.rows[-1]}")
    means = {"planted": [], "noise": []}  # type: dict[str, list[float]]
    for seed in seeds:
        for kind, make in (("planted", planted), ("noise", noise)):
            samples = make(seed)
            gaps = [(samples(k, N).tensors[1].numpy().mean() - samples(k, 1000).tensors[1].numpy()) ** 2 for k in (0, 1)]
            means[kind].append(float(np.mean(gaps)))
    both.add("the mean of the targets", cell(means["planted"]), "", cell(means["noise"]))
    third = Table(
        "A third task from few samples", ["start", "test error", "against scratch"],
        f"Mean squared error on 1,000 test samples; {FEW} samples, {4 * EPOCHS} epochs; the layer of hard sharing as source",
    )  # fmt: skip
    starts: dict[str, list[float]] = {"from scratch": [], "the shared layer, frozen": [], "the shared layer, free": []}
    for seed in seeds:
        samples = planted(seed)
        model, _ = fitted("hard sharing", samples, seed)
        train, test = samples(2, FEW), samples(2, 1000)
        for name, (source, frozen) in zip(starts, ((None, False), (model.shared, True), (model.shared, False)), strict=True):
            starts[name].append(transferred(source, frozen, train, test, seed))
    for name, values in starts.items():
        gain = paired(values, starts["from scratch"])
        third.add(name, cell(values), "" if name == "from scratch" else f"{gain.mean:+.4f} ± {gain.half:.4f}")
    return {"shared_subspace": both, "third_task": third}


# %% [markdown]
r"""
**You should see** On planted data one shared layer halves the error of networks that are alone, and a penalty of λ = 0.01 lowers
it further; at λ = 0.1 it takes nearly all of that back. Soft sharing by distance comes close at λ = 1, by the trace norm less so.
Without λ, two networks that are alone also gain from a penalty: not all of the gain is the company's. On D2's own data there is
nothing to learn: every network is worse than the mean of the targets, whatever it shares, contrary to what the document suggests.
The third task, from 20 samples, is better in the mean with the shared layer, frozen above all, but over ten seeds the intervals
of the gains still hold 0.

**Your turn** Give the tasks subspaces of their own: draw B anew for each task in `planted`. Which rows of the table turn round?
"""


# %%
def main() -> dict[str, float]:
    """Some variants on one seed; then the tables of the full study."""
    found = {}
    for name in ("each task alone", "hard sharing", "hard sharing, L2, λ = 0.01"):
        found[name] = fitted(name, planted(0), 0)[1]
        say(f"{name:28s} planted: test error {found[name]:.4f}")
    found["noise"] = fitted("hard sharing", noise(0), 0)[1]
    say(f"{'hard sharing':28s} D2's noise: test error {found['noise']:.4f}; the variance of the targets is {1 / 12:.4f}")
    for name in ("shared_subspace", "third_task"):
        table = Table.read(TABLES / f"{name}.md")
        say(f"\n{table}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="D2: two regressions with something in common, and without.")
    parser.add_argument("--study", action="store_true", help="the full study")
    if parser.parse_args().study:
        for name, table in study(SEEDS).items():
            table.save(TABLES / f"{name}.md", "python lessons/09_shared_subspace.py --study")
            say(table.text())
    else:
        main()
