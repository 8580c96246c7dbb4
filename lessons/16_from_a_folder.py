# %% [markdown]
r"""
# From a folder of pictures

**Goal** D4's own example: class folders, pictures brought to 128 × 128, a VGG base without its top, dense layers, one-hot
labels. And what its author leaves out: are all files sound, is every class in both parts of the split, when does training stop,
and does augmentation help?

**Needs** Lesson 2.  **Time** 15 minutes.

**The mathematics** Augmentation replaces a picture by another with the same label, a new one in every epoch. A flip reads a row
from the other end (`data.hflip`, `data.vflip`), a crop reads elsewhere (`data.crop`). An affine map asks for every pixel of the
new picture where it came from, $z = A^{-1}(p - m - t) + m$ (`data.affine`), and reads between four pixels there
(`data.bilinear`):

$$y_{n,c,h,w} = \sum_{i=0}^{H-1} \sum_{j=0}^{W-1} x_{n,c,i,j} \max(0, 1 - |z_{n,1,h,w} - i|) \max(0, 1 - |z_{n,0,h,w} - j|)$$

Colours are drawn towards black, towards the mean of the picture, or towards its grey twin (`data.brightness`, `data.contrast`,
`data.saturation`); a rectangle is cut out (`data.erase`). Mixup makes a picture of two, and a label of two:

$$\tilde x = \lambda x_i + (1 - \lambda) x_j, \quad \tilde y = \lambda y_i + (1 - \lambda) y_j, \quad \lambda \sim B(\alpha, \alpha)$$

(`data.mixup`, B the beta distribution). The loss is the cross-entropy of one-hot labels, of which a share ε goes to all classes
alike (`nn.label_smoothing`).

What D4 does not say: VGG16 was trained on pictures of 224 × 224. Its convolutions take 128 × 128 as well, but what they give is
(512, 4, 4) and not (512, 7, 7), so that the dense layers of the original do not fit and new ones must be learnt. And a rescaling by
1/255 (`data.to_tensor`) is not what VGG16 was trained with: Keras' weights want BGR less the mean of each channel in 0 … 255,
torchvision's (x − mean)/std of ImageNet (`data.normalize`). A pretrained base that is given other numbers sees something else than
what it was trained on.
"""

# %%
import argparse
import copy
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import minimtl as mm
from minimtl import data, models, mtl, nn, optim
from minimtl.data import DataLoader, ImageFolder, augment, transforms
from minimtl.mtl.evaluation import interval
from minimtl.training import EarlyStopping, Table, say

TABLES = Path(__file__).parent / "tables"
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE, BATCH = 128, 32
SMALL = 32  # pixels in the study, where training is sixteen times cheaper
TRAIN, TEST = 300, 500  # pictures; a fifth of the former for validation
RATE, EPOCHS, PATIENCE, SEEDS = 3e-3, 40, 10, range(5)

# %% [markdown]
r"""
**The data** The lesson draws its own: rendered digits in coloured ink on coloured paper, enlarged and written as PNG and JPEG
files, in one folder for each class. `check()` reads every file once and names those that it cannot. `split` keeps the share of
every class and refuses where a class would be missing in one part. Both parts are data sets of their own: the augmentation
belongs to the first alone.
"""


# %%
def draw(root: Path, n: int, seed: int) -> Path:
    """n pictures in root/zero … root/nine, as many of each."""
    rng, pool = np.random.default_rng(seed), data.RenderedDigits(3 * n, seed=seed)
    images, digits = pool.__getitems__(np.arange(3 * n))
    for digit, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for i in np.flatnonzero(digits.numpy() == digit)[: n // 10]:
            ink = Image.fromarray(images.numpy()[i]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            colours = rng.integers((150, 0), (256, 110), (3, 2)).T  # light paper, dark ink
            paper, pen = (Image.new("RGB", ink.size, tuple(c.tolist())) for c in colours)
            Image.composite(pen, paper, ink).save(root / name / f"{i:05}.{'png' if i % 2 else 'jpg'}")
    return root


def one_hot(y: mm.Tensor) -> mm.Tensor:
    """(N) → (N, 10)"""
    return mm.tensor(np.eye(10, dtype=np.float32)[y.numpy()])


labels = transforms.Lambda(one_hot, batched=True)
plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])


def augmented(seed: int) -> transforms.Compose:
    """Each with a generator of its own, so that batches can be made in the background. No flips: they are not digits any more."""
    g = [mm.Generator(10 * seed + i) for i in range(3)]
    return transforms.Compose(
        [
            transforms.ToTensor(),
            augment.RandomAffine(10, translate=(0.05, 0.05), scale=(0.9, 1.1), shear=5, fill=0.5, generator=g[0]),
            augment.ColorJitter(0.3, 0.3, 0.3, generator=g[1]),
            augment.RandomErasing(0.5, scale=(0.02, 0.1), value=0.5, generator=g[2]),
            transforms.Normalize(0.5, 0.5),
        ]
    )


def in_memory(folder: ImageFolder) -> data.ImageDataset:
    """All of it, read once: fine for a small folder of which many epochs are made."""
    files = copy.copy(folder)
    files.transform = files.target_transform = None
    return data.ImageDataset(*files.__getitems__(np.arange(len(files))), folder.transform, folder.target_transform)


def loaders(folder: ImageFolder, method: str, seed: int) -> tuple[Any, DataLoader]:
    """Batches for training and for validation."""
    train, validation = folder.split(0.2, mm.Generator(seed))
    if method != "as they are":
        train.transform = augmented(seed)
    batches: Any = data.Prefetched(DataLoader(in_memory(train), BATCH, shuffle=True))
    if method == "augmented and mixed":
        batches = data.Mapped(batches, augment.MixUp(alpha=0.2, generator=mm.Generator(seed)))
    return batches, DataLoader(in_memory(validation), BATCH)


METHODS = ("as they are", "augmented", "augmented and mixed")

# %% [markdown]
r"""
**The network** A small VGG: blocks of convolution, ReLU and max pooling, here with random weights, then `Flatten` and dense
layers. D4 has 4096, 4096 and 10 of them behind VGG16's 512 channels: 50 million parameters, for a folder of some hundred
pictures.
"""


# %%
def base(side: int) -> tuple[nn.Module, int]:
    """(N, 3, S, S) → (N, 32, 4, 4), and how many numbers that is."""
    channels = [3, 8, 16, *[32] * 3][: int(np.log2(side)) - 1]
    block = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))  # noqa: E731
    return nn.Sequential(*(block(a, b) for a, b in pairwise(channels))), channels[-1] * 4 * 4


def network(side: int) -> nn.Module:
    """The base, flattened, and dense layers."""
    φ, features = base(side)
    return nn.Sequential(φ, nn.Flatten(), nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 10))


# %% [markdown]
r"""
**The listings' own networks** stand in `models` with torchvision's keys, and take a checkpoint: `models.vgg16(weights="vgg16.pth",
include_top=False)`. D4-a puts 4096, 4096 and 10 behind its maps; D3-b takes a ResNet-50 without its top, which ends in a global
average pooling, then 1024 and 10, all of it trained. A step of either on a few pictures shows that they run, and what they cost; to
train them for an hour on a hundred pictures would show nothing.
"""


# %%
def listing(name: str, weights: str | None = None) -> nn.Module:
    """D4-a for pictures of 128 × 128, or D3-b for pictures of any size; random numbers unless weights are given."""
    if name == "D4-a":
        φ = models.vgg16(weights=weights, include_top=False).features  # (N, 512, 4, 4)
        dense = (nn.Linear(512 * 4 * 4, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10))
        return nn.Sequential(φ, nn.Flatten(), *dense)
    return nn.Sequential(
        models.resnet50(weights=weights, include_top=False), nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def step(model: nn.Module, x: mm.Tensor, y: mm.Tensor, lr: float = 1e-4) -> tuple[float, float]:
    """The loss before and after a step of Adam on all parameters."""
    model.eval()  # without dropout or the batch's statistics, so that the two compare
    rule = optim.Adam(model.parameters(), lr=lr)
    before = nn.functional.cross_entropy(model(x), y)
    before.backward()
    rule.step()
    return before.item(), nn.functional.cross_entropy(model(x), y).item()


# %%
def run(
    folder: ImageFolder, method: str, seed: int, epochs: int = EPOCHS, verbose: bool = False
) -> tuple[mtl.Trainer, EarlyStopping]:
    """Trained until the validation loss has not fallen for a while; the best weights are back."""
    mm.manual_seed(seed)
    train, validation = loaders(folder, method, seed)
    model = network(next(iter(validation))[0].shape[-1])
    task = mtl.Task("digit", nn.CrossEntropyLoss(label_smoothing=0.1), metrics=["accuracy"])
    trainer = mtl.Trainer(model, [task], optim.Adam(model.parameters(), lr=RATE))
    stopping = EarlyStopping("validation loss", PATIENCE)
    trainer.fit(train, epochs, validation, callbacks=[stopping], verbose=verbose)
    return trainer, stopping


# %%
def study(seeds: Any, epochs: int = EPOCHS) -> Table:
    """Every method from every seed, which draws pictures of its own; the test pictures are always the same."""
    seeds, found = list(seeds), {method: [] for method in METHODS}  # type: dict[str, list[tuple[float, int]]]
    with tempfile.TemporaryDirectory() as place:
        test = DataLoader(in_memory(ImageFolder(draw(Path(place, "test"), TEST, 9999), plain, labels, size=SMALL)), 250)
        for seed in seeds:
            folder = ImageFolder(draw(Path(place, str(seed)), TRAIN, seed), plain, labels, size=SMALL).check()
            for method in METHODS:
                trainer, stopping = run(folder, method, seed, epochs)
                found[method].append((trainer.evaluate(test)["digit accuracy"], stopping.epoch))
    about = (
        f"Accuracy on {TEST} test pictures, in percent, of {TRAIN} pictures from class folders, a fifth of them for validation; "
        f"read at {SMALL} × {SMALL}; {len(seeds)} seeds, ± half of a 95 % interval, the gain paired over seeds; Adam({RATE}), "
        f"at most {epochs} epochs, patience {PATIENCE}, label smoothing 0.1"
    )
    table = Table("With and without augmentation", ["training pictures", "accuracy", "gain", "best epoch"], about)
    accuracy = {method: 100 * np.array([a for a, _ in runs]) for method, runs in found.items()}
    for method, values in accuracy.items():
        own, gain = interval(values), interval(values - accuracy[METHODS[0]])
        epoch = float(np.mean([e for _, e in found[method]]))
        better = "" if method == METHODS[0] else f"{gain.mean:+.2f} ± {gain.half:.2f}"
        table.add(method, f"{own.mean:.2f} ± {own.half:.2f}", better, f"{epoch:.0f}")
    say(table.text())
    return table


# %% [markdown]
r"""
**You should see** In the study, of 240 training pictures, augmentation is worth four points (91.6 to 95.7 percent), and its interval
keeps above 0, if not by much. Mixup on top of it adds nothing that can be told: its own gain is three points, and the two intervals
overlap. The best epoch is a later one with augmentation, 39 of 40: no two epochs show the same picture, and the limit ends the run
rather than the stopping. Live, two epochs of a hundred pictures teach next to nothing; they show that all parts fit at 128 × 128.

**Your turn** Add `augment.RandomHorizontalFlip` to `augmented`: which digits suffer, and why? Save a text as `zero/00000.png`:
what does `check()` say, and what does `ImageFolder(…, skip_unreadable=True)`? Give the validation part the augmentation too:
does early stopping still stop at the right epoch?
"""


# %%
def main(pictures: int = 100, epochs: int = 2, listings: bool = False) -> dict[str, float]:
    """Two epochs at 128 × 128, from files to accuracy; then the table of the full study. `listings` adds a step of D4-a and D3-b."""
    with tempfile.TemporaryDirectory() as place:
        folder = ImageFolder(draw(Path(place), pictures, 0), plain, labels, size=SIDE).check()
        x, y = folder.__getitems__(np.arange(2))
        φ, features = base(SIDE)
        say(f"{folder.classes}\n{x.shape}, {y.shape} -> {φ(x).shape}, {features} numbers -> {network(SIDE)(x).shape}")
        trainer, stopping = run(folder, "augmented and mixed", 0, epochs, verbose=True)
        last = trainer.evaluate(loaders(folder, "as they are", 0)[1])
        say(f"the weights of epoch {stopping.epoch} are back: validation loss {last['loss']:.3f}")
        for name in ("D4-a", "D3-b") if listings else ():
            model, start = listing(name), time.perf_counter()
            before, last[name] = step(model, x, y)
            size = sum(p.numel() for p in model.parameters())
            say(
                f"{name}: {size:,} parameters, a step in {time.perf_counter() - start:.1f} s, loss {before:.4f} -> {last[name]:.4f}"
            )
    table = Table.read(TABLES / "from_a_folder.md")
    say(f"\n{table}")
    return last


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Pictures from class folders at 128 × 128, with and without augmentation (D4)."
    )
    parser.add_argument("--study", action="store_true", help="the full study, some minutes")
    parser.add_argument("--listings", action="store_true", help="a step of D4-a and of D3-b, in 2 GB of memory")
    options = parser.parse_args()
    if options.study:
        study(SEEDS).save(TABLES / "from_a_folder.md", "python lessons/16_from_a_folder.py --study")
    else:
        main(listings=options.listings)
