"""How long a training step takes, beside PyTorch's on the same machine in the same run.

The two take turns, round by round, so that a machine that speeds up or slows down does so for both; the ratio is the median
over rounds.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import minimtl
from tests.bench import peers

CASES = {
    "D0-a, batch 10": partial(peers.training_step, system=peers.d0, shape=(10, 100)),
    "D1, batch 32": partial(peers.training_step, system=peers.d1, shape=(32, 1, 28, 28)),
    "D1, batch 100": partial(peers.training_step, system=peers.d1, shape=(100, 1, 28, 28)),
    "D1, batch 1000": partial(peers.training_step, system=peers.d1, shape=(1000, 1, 28, 28)),
}


def seconds(step: Callable[[], float], least: float) -> float:
    """Seconds per call, over as many calls as take `least` seconds."""
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < least:
        step()
        calls += 1
    return spent / calls


def main(rounds: int = 15, least: float = 0.2) -> None:
    """Print a table: milliseconds per step of both, and the ratio."""
    torch = peers.torch()
    print(f"minimtl beside PyTorch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| training step | minimtl, ms | PyTorch, ms | ratio |\n|---|---|---|---|")
    for name, case in CASES.items():
        ours, theirs = case(minimtl), case(torch)
        seconds(ours, least), seconds(theirs, least)
        times = [(seconds(ours, least), seconds(theirs, least)) for _ in range(rounds)]
        a, b = (1e3 * statistics.median(t) for t in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        print(f"| {name} | {a:.2f} | {b:.2f} | {ratio:.2f} |", flush=True)
