"""D1 as the document configures it, on real MNIST, in minimtl and in PyTorch: do both end at the same place?

Batch 100, SGD(.001, .9), α = 1, 1, ten epochs. Each seed is a run of its own in either library; the random numbers differ, so the
comparison is of means, with their standard errors.
"""

import math
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import peers

COLUMNS = ("loss", "digit", "parity")


def ours(train: Any, test: Any, seed: int, epochs: int) -> list[float]:
    """Mean loss of the last epoch, accuracy of digit and parity on the test set: the lesson's own training."""
    lesson = peers.lesson("02_digit_and_parity")
    _, history = lesson.train(train, test, epochs, seed, verbose=False)
    last = history.rows[-1]
    return [last["loss"], 100 * last["validation digit accuracy"], 100 * last["validation parity accuracy"]]


def theirs(train: Any, test: Any, seed: int, epochs: int) -> list[float]:
    """The same in PyTorch."""
    torch, F = peers.torch(), peers.functional(peers.torch())
    torch.manual_seed(seed)
    forward, parts = peers.d1(torch)
    optimizer = torch.optim.SGD([p for part in parts for p in part.parameters()], lr=0.001, momentum=0.9)
    (x, y), (x_test, y_test) = (tuple(map(torch.tensor, arrays(part))) for part in (train, test))
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x)).split(100):
            digit, parity = forward(x[batch])
            loss = F.cross_entropy(digit, y[batch]) + F.cross_entropy(parity, (y[batch] % 2 == 0).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * 100 / len(x)
    with torch.no_grad():
        digit, parity = (out.argmax(1) for out in forward(x_test))
    right = [(digit == y_test), (parity == (y_test % 2 == 0).long())]
    return [total, *(100 * r.float().mean().item() for r in right)]


def arrays(dataset: Any) -> tuple[Any, Any]:
    """All images, normalised, and all labels."""
    images, labels = dataset.__getitems__(np.arange(len(dataset)))
    return images.numpy().copy(), labels.numpy().copy()


def run(library: str, root: str, seed: int, epochs: int) -> list[float]:
    """One run, in a process of its own."""
    train, test, _ = peers.lesson("02_digit_and_parity").digits(root, quick=False, seed=0)
    return {"minimtl": ours, "PyTorch": theirs}[library](train, test, seed, epochs)


def main(root: str | None = None, seeds: int = 10, epochs: int = 10) -> None:
    """Print the table for the README. Runs go two at a time, on one thread each."""
    root = root or str(peers.ROOT.parent / "shared" / "data" / "mnist")
    if not Path(root).exists():
        raise SystemExit("the study needs real MNIST: --data DIR")
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    jobs = [(library, seed) for seed in range(seeds) for library in ("minimtl", "PyTorch")]
    runs: dict[str, list[list[float]]] = {"minimtl": [], "PyTorch": []}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = pool.map(run, *zip(*((library, root, seed, epochs) for library, seed in jobs), strict=True))
        for (library, seed), result in zip(jobs, results, strict=True):
            runs[library].append(result)
            print(f"seed {seed}  {library:8s}", *(f"{v:.4f}" for v in result), flush=True)
    print(f"\n| {seeds} seeds, {epochs} epochs | loss in the last epoch | digit, % | parity, % |\n|---|---|---|---|")
    for library, values in runs.items():
        cells = [f"{statistics.mean(v):.4f} ± {error(v):.4f}" for v in zip(*values, strict=True)]
        print(f"| {library} | {' | '.join(cells)} |")
    pairs = zip(zip(*runs["minimtl"], strict=True), zip(*runs["PyTorch"], strict=True), strict=True)
    gaps = [(statistics.mean(a) - statistics.mean(b)) / math.hypot(error(a), error(b)) for a, b in pairs]
    print("| difference, in standard errors | " + " | ".join(f"{gap:+.2f}" for gap in gaps) + " |")


def error(values: Any) -> float:
    """The standard error of the mean."""
    return statistics.stdev(values) / math.sqrt(len(values))
