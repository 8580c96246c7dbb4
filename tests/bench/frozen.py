"""An epoch of a head on a frozen trunk: with the feature cache, beside PyTorch, which computes the features in every epoch.

D1's trunk on 6,000 pictures of 28 × 28, batches of 50, SGD(.001, .9) on the head; the libraries take turns, epoch by epoch. The first
epoch with the cache computes all features; the ratio is that of the later ones.
"""

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import mtl, nn, optim, transfer
from minimtl.data import DataLoader, TensorDataset
from tests.bench import peers

BATCH = 50
SYSTEMS: dict[str, tuple[int, tuple[int, ...], int]] = {  # pictures, shape of one, features
    "D1's trunk": (6000, (1, 28, 28), 84),
}


def with_pytorch(name: str) -> Callable[[], None]:
    """An epoch as a PyTorch user writes it: the trunk's parameters require no gradient, and it is in evaluation mode."""
    torch = importlib.import_module("torch")
    n, shape, width = SYSTEMS[name]
    φ, head = peers.d1(torch)[1][0], torch.nn.Linear(width, 10)
    φ.requires_grad_(False).eval()
    x, y = torch.randn(n, *shape), torch.randint(10, (n,))
    rule = torch.optim.SGD(head.parameters(), lr=0.001, momentum=0.9)

    def epoch() -> None:
        for rows in torch.randperm(n).split(BATCH):
            rule.zero_grad()
            torch.nn.functional.cross_entropy(head(φ(x[rows])), y[rows]).backward()
            rule.step()

    return epoch


def with_cache(name: str) -> Callable[[], None]:
    """An epoch of the Trainer, with everything that it does besides."""
    n, shape, width = SYSTEMS[name]
    cache = transfer.FeatureCache(transfer.freeze(peers.d1(mm)[1][0]))
    model = nn.Sequential(cache, nn.Linear(width, 10))
    rule = optim.SGD(model[1].parameters(), lr=0.001, momentum=0.9)
    trainer = mtl.Trainer(model, [mtl.Task("y", nn.CrossEntropyLoss())], rule)
    loader = cache.over(DataLoader(TensorDataset(mm.randn(n, *shape), mm.randint(10, (n,))), BATCH, shuffle=True))
    return lambda: trainer.fit(loader, 1, verbose=False) and None


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(rounds: int = 7) -> None:
    """Print, for each system, the seconds of an epoch."""
    torch = importlib.import_module("torch")
    print(f"batches of {BATCH}; NumPy {np.__version__}, PyTorch {torch.__version__}\n")
    print("| trunk | pictures | PyTorch, s | first epoch, s | later epochs, s | PyTorch / later |\n|---|---|---|---|---|---|")
    for name, (n, *_) in SYSTEMS.items():
        theirs, ours = with_pytorch(name), with_cache(name)
        first = seconds(ours)
        theirs()
        times = [(seconds(theirs), seconds(ours)) for _ in range(rounds)]
        a, b = (statistics.median(t) for t in zip(*times, strict=True))
        ratio = statistics.median(t / o for t, o in times)
        print(f"| {name} | {n:,} | {a:.3f} | {first:.3f} | {b:.4f} | {ratio:.0f} |", flush=True)
