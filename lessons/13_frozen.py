# %% [markdown]
r"""
# Frozen means frozen: a pretrained network with a new head

**Goal** D0-b: take a network that was trained on something else, freeze it, give it a new last layer, and train that alone. See
what "frozen" leaves moving when only `requires_grad` is switched off, what it costs, and how to have it really fixed. Then train
the head at a fraction of the price, since what is fixed need be computed only once.

**Needs** Lessons 1 and 2.  **Time** 15 minutes.

**The mathematics** θₛ are the source's parameters, of which the trunk φ stays; the head is new:

$$L_t(\theta_t) = \sum_{i=1}^{N_t} l_t(f_t(x_{ti}; \theta_t), y_{ti})$$

(`tl.target_loss`), minimised over the head alone. Batch normalisation has, beside its parameters, statistics, which are no
parameters: in training mode every batch moves them,

$$m'_c = (1 - a) m_c + a \mu_c$$

(`nn.running_statistics`), whether the layer's parameters require a gradient or not. D0's listing leaves the model in training mode:
its "frozen" ResNet-18 is another function after every step, and no longer serves the source.
"""

# %%
import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, models, mtl, nn, optim, transfer
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
SOURCE, TARGET, TEST, EPOCHS, SEEDS = 4000, 500, 2000, 4, range(8)

# %% [markdown]
r"""
**D0-b** A ResNet-18 from a checkpoint file, whose keys are torchvision's; `fc` replaced by a layer for two classes; cross-entropy
and SGD(0.001, momentum 0.9) on `fc`; ten random pictures. Without a file of yours (`--weights resnet18.safetensors`, or `.pth`) the
lesson writes one of random weights: the drift does not depend on what they are. The pictures have 64² pixels here, 224² in the
listing.
"""


# %%
def checkpoint(folder: str) -> Path:
    """A file with the weights and statistics of a ResNet-18."""
    path = Path(folder) / "resnet18.npz"
    mm.manual_seed(0)
    mm.save(models.resnet18().state_dict(), path)
    return path


def without_gradients(model: nn.Module) -> nn.Module:
    """D0's way: every parameter has `requires_grad = False`."""
    return model.requires_grad_(False)


FREEZE: dict[str, Callable[[Any], Any]] = {"requires_grad = False": without_gradients, "transfer.freeze": transfer.freeze}


def d0_b(weights: Path, freeze: Callable[[Any], Any], side: int = 64, steps: int = 1) -> tuple[list[str], nn.Module]:
    """The names of all that has changed after so many steps, and the model."""
    model = freeze(models.resnet18(weights=weights))
    transfer.replace_head(model, "fc", nn.Linear(512, 2))
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    mm.manual_seed(1)
    x, y = mm.randn(10, 3, side, side), mm.randint(2, (10,))
    rule = optim.SGD(model.fc.parameters(), lr=0.001, momentum=0.9)
    model.train()
    for _ in range(steps):
        rule.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        rule.step()
    return [name for name, t in model.state_dict().items() if not np.array_equal(t.numpy(), before[name])], model


# %% [markdown]
r"""
**What the drift costs** A small network with batch normalisation learns printed digits. Then a new head is trained on handwritten
ones, the rest "frozen" in either way. The old head is kept: how well does the network still read print?
"""


# %%
def trunk() -> nn.Sequential:
    """φ: (N, 1, 28, 28) → (N, 64)"""
    block = lambda a, b: [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]  # noqa: E731
    return nn.Sequential(*block(1, 8), *block(8, 16), nn.Flatten(), nn.Linear(784, 64), nn.BatchNorm1d(64), nn.ReLU())


def scaled(dataset: data.Dataset, rows: Any) -> TensorDataset:
    """Pictures around 0, and digits."""
    x, y = dataset.__getitems__(np.asarray(rows))
    return TensorDataset(mm.tensor((x.numpy()[:, None].astype(np.float32) / 255 - 0.1307) / 0.3081), y)


def sets(root: str | None, seed: int, source: int = SOURCE) -> dict[str, TensorDataset]:
    """Printed digits for training and testing; handwritten ones, or bolder printed ones where MNIST is not there."""
    place, other = data.mnist_folder(root), {"shear": (0.3, 0.6), "stroke": (0.4, 0.7), "height": (18.0, 21.0)}
    printed = data.RenderedDigits(source + TEST, seed=seed, labels="digit")
    written = [
        data.MNIST(place, train=train) if place else data.RenderedDigits(6000, seed=900 + train, labels="digit", **other)
        for train in (True, False)
    ]
    rows = np.random.default_rng(seed).permutation(len(written[0]))[:TARGET]
    return {
        "source": scaled(printed, range(source)), "source test": scaled(printed, range(source, source + TEST)),
        "target": scaled(written[0], rows), "target test": scaled(written[1], range(TEST)),
    }  # fmt: skip


def fit(model: nn.Module, training: TensorDataset, epochs: int) -> mtl.Trainer:
    """Adam on whatever requires a gradient."""
    task = mtl.Task("digit", nn.CrossEntropyLoss(), metrics=["accuracy"])
    own = [p for p in model.parameters() if p.requires_grad]
    trainer = mtl.Trainer(model, [task], optim.Adam(own, lr=1e-3))
    trainer.fit(DataLoader(training, 50, shuffle=True), epochs, verbose=False)
    return trainer


def accuracy(model: nn.Module, test: TensorDataset) -> float:
    """In percent, in evaluation mode."""
    with nn.utils.evaluating(model):
        return 100 * float((model(test.tensors[0]).numpy().argmax(axis=1) == test.tensors[1].numpy()).mean())


def drift(root: str | None, seed: int, source: int = SOURCE, epochs: int = EPOCHS) -> dict[str, tuple[float, float, float]]:
    """{way of freezing: accuracy on the source before and after, and on the target}"""
    found, pictures = {}, sets(root, seed, source)
    mm.manual_seed(seed)
    φ, old = trunk(), nn.Linear(64, 10)
    fit(nn.Sequential(φ, old), pictures["source"], epochs)
    for name, freeze in FREEZE.items():
        mm.manual_seed(seed)
        mine, new = freeze(copy.deepcopy(φ)), nn.Linear(64, 10)
        before = accuracy(nn.Sequential(mine, old), pictures["source test"])
        fit(nn.Sequential(mine, new), pictures["target"], 2 * epochs)
        after = accuracy(nn.Sequential(mine, old), pictures["source test"])
        found[name] = before, after, accuracy(nn.Sequential(mine, new), pictures["target test"])
    return found


def study(root: str | None, seeds: Sequence[int] = SEEDS) -> Table:
    """Both ways, from all seeds."""
    runs = [drift(root, seed) for seed in seeds]
    target = "real MNIST" if data.mnist_folder(root) else "bolder printed digits"
    about = (
        f"Accuracy in percent on {TEST:,} test pictures; {len(seeds)} seeds, ± half of a 95 % interval; source: {SOURCE:,} printed "
        f"digits, {EPOCHS} epochs; then a new head on {TARGET} pictures of {target}, {2 * EPOCHS} epochs; Adam(0.001)"
    )
    table = Table("What the drift costs", ["φ frozen by", "source before", "source after", "source lost", "target"], about)
    for name in FREEZE:
        before, after, target_score = zip(*(run[name] for run in runs), strict=True)
        columns = [before, after, [b - a for b, a in zip(before, after, strict=True)], target_score]
        table.add(name, *(f"{i.mean:.2f} ± {i.half:.2f}" for i in map(interval, columns)))
    return table


# %% [markdown]
r"""
**Once is enough** A frozen φ gives the same features in every epoch, so they are computed in the first and kept:
`transfer.FeatureCache` is a trunk that does so as long as it makes no difference, and asks again at the start of every epoch. One
difference is left: the last bit of a matrix product may depend on where in its batch a sample stands.
"""


# %%
def cached(pictures: TensorDataset, epochs: int) -> tuple[float, list[float], list[float]]:
    """The largest difference between the weights of the two heads, and the seconds of each epoch without and with the cache."""
    heads, seconds = [], []
    for keep in (False, True):
        mm.manual_seed(3)
        φ, loader = transfer.freeze(trunk()), DataLoader(pictures, 50, shuffle=True)
        cache = transfer.FeatureCache(φ) if keep else φ
        model = nn.Sequential(cache, nn.Linear(64, 10))
        task = mtl.Task("digit", nn.CrossEntropyLoss())
        trainer = mtl.Trainer(model, [task], optim.Adam(model[1].parameters(), lr=1e-3))
        history = trainer.fit(cache.over(loader) if keep else loader, epochs, verbose=False)
        heads.append(model[1].weight.numpy())
        seconds.append(history["seconds"])
    return float(np.abs(heads[0] - heads[1]).max()), seconds[0], seconds[1]


# %% [markdown]
r"""
**You should see** With `requires_grad = False` alone, a single step changes the statistics of all twenty batch norms, 60 tensors;
with `transfer.freeze` nothing but `fc`. In the table the drift costs the source four tenths of a point, for certain, and the target
nothing: it may even gain, since the statistics become those of its own pictures. (Lesson 15 does that on purpose.) So the drift is
no disaster here. But who believes the network frozen is wrong: features that were kept are no longer its features, and what was
measured on the source no longer holds.

With the cache the first epoch costs what it did, and each later one a fraction.

**Your turn** Put `model.eval()` behind `model.train()` in `d0_b`: what else than the statistics changes, in a network with dropout?
Freeze only `through="layer3"`, let `transfer.frozen` show you what is left, and count the parameters.
"""


# %%
def main(
    weights: str | None = None, root: str | None = None, side: int = 64, source: int = 1500, epochs: int = 2
) -> dict[str, Any]:
    """D0-b's step in both ways, the drift from one seed, the cache; then the table of the full study."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(weights) if weights else checkpoint(folder)
        for name, freeze in FREEZE.items():
            start = time.perf_counter()
            changed, model = d0_b(path, freeze, side)
            other = [key for key in changed if not key.startswith("fc.")]
            found[name] = len(other)
            say(
                f"{name}: a step in {time.perf_counter() - start:.1f} s; changed beside fc: {len(other)} tensors, as {other[:2]}"
            )
    say(f"\n{transfer.frozen(model)}\n")
    for name, (before, after, target) in drift(root, 0, source, epochs).items():
        found[f"{name}: lost"] = before - after
        say(f"{name}: source {before:.1f} % before, {after:.1f} % after; target {target:.1f} %")
    found["apart"], without, kept = cached(sets(root, 0, source)["source"], 4)
    say(f"\nSeconds of epochs 1 to 4: without a cache {[round(s, 3) for s in without]}, with one {[round(s, 3) for s in kept]}")
    say(f"The weights of the two heads differ by {found['apart']:.0e} at most.\n")
    table = Table.read(TABLES / "drift.md")
    say(f"{table}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A pretrained network, frozen, with a new head (D0-b).")
    parser.add_argument("--weights", metavar="FILE", help="a ResNet-18 checkpoint; else one of random weights")
    parser.add_argument("--data", metavar="DIR", help="folder with the MNIST files; else MINIMTL_DATA, else printed digits")
    parser.add_argument("--study", action="store_true", help="the full study of the drift")
    options = parser.parse_args()
    if options.study:
        result = study(options.data)
        result.save(TABLES / "drift.md", "python lessons/13_frozen.py --data DIR --study")
        say(result.text())
    else:
        main(options.weights, options.data)
