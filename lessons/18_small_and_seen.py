# %% [markdown]
r"""
# Small models, and looking inside

**Goal** Make a network small enough for a phone in three ways, a student of few parameters, weights cut to 0, weights of eight bits,
and say what each costs in accuracy. Then look at what the network looks at, and at whether such a picture can be trusted.

**Needs** Lesson 2.  **Time** 15 minutes.

**The mathematics** *Pruning* keeps the weights of largest magnitude: the mask

$$m_i = [ \sum_{j=1}^{n} [|w_j| < |w_i| \lor |w_j| = |w_i| \land j < i] \ge k ]$$

(`tl.pruning`) is 0 for the $k$ smallest, and $m w$ stands in the place of $w$ from then on, in training too. Whole filters go by
their norm (`tl.filter_norm`). *Eight bits*: $w \approx s q$ with whole numbers

$$q_{fi} = \lfloor \frac{w_{fi}}{s_f} + \frac{1}{2} \rfloor, \quad s_f = \frac{1}{127} \max_{1 \le j \le n} |w_{fj}|$$

(`tl.int8`), so no weight is off by more than $s_f / 2$. *Distillation* trains a student on what a teacher says (`mtl.distillation`).
Bytes are counted as in `tl.stored_bytes`: zeros need not be kept, but for a bit that says where they are.

What does class $c$ depend on? The *saliency* of pixel $i$ is $S_i = |\partial y_c / \partial x_i|$ (`tl.saliency`; its mean over
noisy copies of $x$, `tl.smooth_grad`, is smoother). *Grad-CAM* asks a layer: of its channels $A_k$

$$M_{uv} = \max(\sum_{k=1}^{K} w_k A_{kuv}, 0), \quad w_k = \frac{1}{H W} \sum_{u=1}^{H} \sum_{v=1}^{W} G_{kuv}$$

(`tl.grad_cam`), $G$ being $\partial y_c / \partial A$. D3 §7 names both, smaller models and models that can be interpreted, as what
lies ahead.
"""

# %%
import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import data, mtl, nn, optim, plot, transfer
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.evaluation import interval, paired
from minimtl.training import Table, say

TABLES = Path(__file__).parent / "tables"
N_TRAIN, N_TEST, EPOCHS, MORE, SEEDS = 2000, 2000, 8, 2, range(8)
SHARES = (0.5, 0.8, 0.9, 0.95)
DISTILLED = {"distilled": (2.0, 0.5), "distilled, T = 4": (4.0, 0.9)}  # temperature, and the teacher's share of the loss


# %%
def pictures(n: int, seed: int) -> TensorDataset:
    """(N, 1, 28, 28) rendered digits in [−1, 1], and which they are."""
    x, y = data.RenderedDigits(n, seed=seed).__getitems__(np.arange(n))
    return TensorDataset(mm.tensor(x.numpy()[:, None].astype(np.float32) / 127.5 - 1), y)


def network(a: int, b: int, c: int) -> mtl.HardSharing:
    """(N, 1, 28, 28) → {"digit": (N, 10)}, with a and b channels and c features"""
    trunk = nn.Sequential(
        nn.Conv2d(1, a, 5), nn.ReLU(), nn.MaxPool2d(2),  # → (N, a, 12, 12)
        nn.Conv2d(a, b, 5), nn.ReLU(), nn.MaxPool2d(2),  # → (N, b, 4, 4)
        nn.Flatten(), nn.Linear(16 * b, c), nn.ReLU(),
    )  # fmt: skip
    return mtl.HardSharing(trunk, {"digit": nn.Linear(c, 10)})


def teacher() -> mtl.HardSharing:
    """20,522 parameters"""
    return network(8, 16, 64)


def student() -> mtl.HardSharing:
    """1,292 parameters"""
    return network(3, 4, 12)


def trained(model: Any, train: TensorDataset, epochs: int, lr: float = 3e-3, loss: Any = None) -> Any:
    """The model, trained by cross-entropy unless said."""
    loss = loss or nn.CrossEntropyLoss()
    trainer = mtl.Trainer(model, [mtl.Task("digit", loss)], optim.Adam(model.parameters(), lr=lr))
    trainer.fit(DataLoader(train, 50, shuffle=True), epochs, verbose=False)
    return model


def accuracy(model: Any, test: TensorDataset) -> float:
    """The share of test pictures that are read right."""
    x, y = test.tensors
    with nn.utils.evaluating(model):
        return float((model(x)["digit"].argmax(dim=1) == y).float().mean().item())


# %% [markdown]
r"""
**The models** One teacher for each seed, and what is made of it. Fine-tuning is two more epochs at a third of the rate; a teacher
that is only trained on as long is the control.
"""


# %%
def models(train: TensorDataset, seed: int, epochs: int = EPOCHS) -> dict[str, nn.Module]:
    """All that the table compares."""
    mm.manual_seed(seed)
    big = trained(teacher(), train, epochs)
    more = lambda model: trained(model, train, MORE, 1e-3)  # noqa: E731
    made = {"teacher": big, "teacher, trained on": more(copy.deepcopy(big))}
    mm.manual_seed(seed + 1000)
    made["student alone"] = trained(student(), train, epochs)
    for name, (T, share) in DISTILLED.items():
        mm.manual_seed(seed + 1000)  # the same first numbers
        pupil = mtl.Distillation(student(), {"digit": big})
        trained(pupil, train, epochs, loss=mtl.distilled(nn.CrossEntropyLoss(), T, share))
        made[f"student {name}"] = pupil.student
    for share in SHARES:
        cut = transfer.prune(copy.deepcopy(big), share)
        made[f"pruned {share:.0%}"] = cut
        made[f"pruned {share:.0%}, fine-tuned"] = more(copy.deepcopy(cut))
    made["int8"] = transfer.quantize(copy.deepcopy(big))
    made["pruned 90%, fine-tuned, int8"] = transfer.quantize(copy.deepcopy(made["pruned 90%, fine-tuned"]))
    made["student alone, int8"] = transfer.quantize(copy.deepcopy(made["student alone"]))
    return made


def study(seeds: Any) -> Table:
    """Every model from every seed: accuracy, bytes, arithmetic."""
    found: dict[str, list[tuple[float, int, float]]] = {}
    test = pictures(N_TEST, 9001)
    for seed in seeds:
        for name, model in models(pictures(N_TRAIN, seed), seed).items():
            f = transfer.footprint_of(model, test.tensors[0][:10], repeats=1)
            found.setdefault(name, []).append((100 * accuracy(model, test), f.bytes, f.multiply_adds))
        say(f"seed {seed}: " + ", ".join(f"{name} {runs[-1][0]:.1f}" for name, runs in found.items()))
    about = (
        f"Accuracy on {N_TEST:,} rendered digits, in percent; {len(list(seeds))} seeds, ± half of a 95 % interval; {N_TRAIN:,} "
        f"training pictures, {EPOCHS} epochs, Adam(0.003); fine-tuned: {MORE} epochs more, Adam(0.001); distilled: T = 2 and "
        "half of the loss the teacher's, or T = 4 and 0.9; pruned by magnitude, all layers together; bytes and multiply-adds a "
        "picture without zeros, means"
    )
    table = Table("Smaller models", ["model", "accuracy", "against the teacher", "bytes", "multiply-adds"], about)
    big = [run[0] for run in found["teacher"]]
    for name, runs in found.items():
        values = [run[0] for run in runs]
        mean, gap = interval(values), paired(values, big)
        size, work = (np.mean([run[i] for run in runs]) for i in (1, 2))
        away = "" if name == "teacher" else f"{gap.mean:+.2f} ± {gap.half:.2f}"
        table.add(name, f"{mean.mean:.2f} ± {mean.half:.2f}", away, f"{size:,.0f}", f"{work:,.0f}")
    return table


# %% [markdown]
r"""
**Looking inside** Pictures of what the teacher looks at, and the test that comes before any belief in them (Adebayo et al. 2018):
draw the weights anew, and the map should be another. An edge detector gives beautiful maps too, and fails.
"""


# %%
def look(model: Any, test: TensorDataset, out: Path) -> dict[str, float]:
    """Maps of eight pictures, as a figure in the folder; and how alike saliency is to that of a network drawn anew."""
    x, y = test.tensors
    x, y = x[:8], y[:8]
    mm.manual_seed(99)
    anew = teacher()
    maps = {
        "saliency": transfer.saliency(model, x, y, task="digit"),
        "SmoothGrad": transfer.smooth_grad(model, x, y, task="digit", generator=mm.Generator(0)),
        "Grad-CAM": transfer.grad_cam(model, x, "shared.4", y, task="digit"),
        "saliency,\nanew": transfer.saliency(anew, x, y, task="digit"),
    }
    out.mkdir(parents=True, exist_ok=True)
    digits = [str(int(c)) for c in y.numpy()]
    plot.heat(x.numpy(), maps, digits, "What the teacher looks at").savefig(out / "seen.png", dpi=120)
    plot.filters(model.shared[0].weight, "The filters of its first layer").savefig(out / "filters.png", dpi=120)
    pairs = zip(maps["saliency"].reshape(8, -1), maps["saliency,\nanew"].reshape(8, -1), strict=True)
    digit = x.numpy() > 0  # the ink
    return {
        "alike": float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])),
        "ink": float(digit.mean()),
        "saliency on ink": float(maps["saliency"][digit].sum() / maps["saliency"].sum()),
    }


# %% [markdown]
r"""
**You should see** Half of the weights can go for nothing; after two epochs of fine-tuning four fifths can, and no loss can be told
from chance. Without 90 % of its weights the teacher falls to 72 %, fine-tuned it is back at 97, a point below; without 95 %
fine-tuning no longer brings it back. Eight bits cost nothing: 0.01 ± 0.03 points, at a quarter of the bytes. Both together, at 90
%, make a model of a fifteenth of the bytes that is 1.3 points worse.

A student of about as many bytes, trained from the start, reads 89 % right: bytes for bytes, to train large and cut is better than
to train small. It has less arithmetic to do, half as many multiply-adds. What its teacher says does not help it here: alone and
distilled, at either temperature, no difference can be told. And all of this saves space alone: the column `ms` of the live table is
much the same for all that has the teacher's layers, since this engine multiplies with zeros too, and computes in floating point; to
save time takes kernels made for it, or layers that are smaller.

About half of the saliency lies on the ink, an eighth of the pixels. Its correlation with the map of a network drawn anew is about
0.45, and not 0: any network of this shape looks at the middle. What goes beyond that was learnt.

**Your turn** Prune "filter" by "filter" (`by="filter"`, sparing the head with `except_="heads"`): how many filters can go before the
accuracy falls? Which of the teacher's filters goes first?
"""


# %%
def main(epochs: int = 3, out: str | Path = "out") -> dict[str, float]:
    """A teacher, live, and what is made of it; pictures of what it looks at; then the table of the full study."""
    train, test = pictures(800, 0), pictures(400, 9001)
    mm.manual_seed(0)
    big = trained(teacher(), train, epochs)
    read: Callable[[nn.Module], float] = lambda model: accuracy(model, test)  # noqa: E731
    made = {"teacher": big}
    made |= {f"pruned {share:.0%}": transfer.prune(copy.deepcopy(big), share) for share in SHARES}
    made["int8"] = transfer.quantize(copy.deepcopy(big))
    say(transfer.footprint(made, test.tensors[0][:100], read).text())
    seen = look(big, test, Path(out))
    say(f"\nCorrelation of saliency with that of a network drawn anew: {seen['alike']:.2f}")
    say(f"On the ink, {seen['ink']:.0%} of all pixels, lies {seen['saliency on ink']:.0%} of the saliency; pictures in {out}\n")
    say(str(Table.read(TABLES / "small_models.md")))
    return {**{name: read(model) for name, model in made.items()}, **seen}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Small models, and what a network looks at.")
    parser.add_argument("--study", action="store_true", help="the full study, a few minutes")
    if parser.parse_args().study:
        whole = study(SEEDS)
        whole.save(TABLES / "small_models.md", "python lessons/18_small_and_seen.py --study")
        say(whole.text())
    else:
        main()
