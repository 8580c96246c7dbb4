"""Reading broken and hostile checkpoint files: an error or what the file says, in what time and how much memory.

Every file is read twice by `mm.load`: for the time, and under `tracemalloc`, which makes it slower by a few times, for the memory.
"""

import collections
import contextlib
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import numpy as np

import minimtl as mm
from tests.checkpoints import ANY, RANDOM, Mutant, wholes
from tests.hostile import costly, hostile

SPARE = 16_000_000  # bytes of memory beside 4 times the file


class Reading(NamedTuple):
    """What came of a file: "loaded", "refused", or what went wrong; seconds, and the most bytes in use."""

    outcome: str
    seconds: float
    peak: int


def is_state(loaded: dict[str, mm.Tensor], right: object) -> bool:
    """Whether that is what the file says."""
    if not isinstance(right, dict):
        return right is ANY
    return loaded.keys() == right.keys() and all(
        loaded[k].dtype == np.asarray(right[k]).dtype and np.array_equal(loaded[k].numpy(), right[k]) for k in right
    )


def read(mutant: Mutant, folder: Path) -> Reading:
    """Write the file, read it, and judge."""
    path = folder / f"mutant{mutant.ending}"
    path.write_bytes(mutant.data)
    rights = mutant.right if isinstance(mutant.right, tuple) else (mutant.right,)
    start = time.perf_counter()
    with contextlib.suppress(ValueError):
        mm.load(path)
    seconds, loaded, outcome = time.perf_counter() - start, None, "refused"
    tracemalloc.start()
    try:
        loaded = mm.load(path)
    except ValueError:
        pass
    except BaseException as error:
        outcome = f"WRONG: {type(error).__name__}"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if loaded is not None:
        outcome = "loaded" if any(is_state(loaded, right) for right in rights) else "WRONG: loaded other than it says"
    elif outcome == "refused" and None not in rights and ANY not in [r for r in rights if isinstance(r, str)]:
        outcome = "WRONG: refused a good file"
    if peak > 4 * len(mutant.data) + SPARE:
        outcome = f"WRONG: {peak / 1e6:.0f} MB"
    return Reading(outcome, seconds, peak)


def main(files: int = 10_000, seed: int = 0) -> None:
    """Print counts by kind of file, the slowest and the largest."""
    rng, counts = np.random.default_rng(seed), collections.Counter[tuple[str, str]]()
    slowest, largest, wrong = (0.0, ""), (0.0, ""), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = wholes(folder)
        special = [*hostile(), *costly()]
        for i in range(files):
            mutant = special[i] if i < len(special) else RANDOM[i % len(RANDOM)](rng, whole)
            outcome, seconds, peak = read(mutant, folder)
            counts[mutant.kind if i >= len(special) else "made by hand", outcome] += 1
            slowest = max(slowest, (seconds, f"{mutant.kind}, {len(mutant.data):,} bytes"))
            largest = max(largest, (peak / (4 * len(mutant.data) + SPARE), f"{mutant.kind}, {peak / 1e6:.1f} MB"))
            if outcome.startswith("WRONG") or seconds > 1:
                wrong.append(f"file {i}, {mutant.kind}{mutant.ending}: {outcome}, {seconds:.2f} s")
    print(f"{files:,} files, seed {seed}\n\n| kind | outcome | files |\n|---|---|---|")
    for (kind, outcome), n in sorted(counts.items()):
        print(f"| {kind} | {outcome} | {n:,} |")
    print(f"\nslowest: {slowest[0]:.2f} s ({slowest[1]}); most memory: {largest[0]:.2f} of what is allowed ({largest[1]})")
    print("\n".join(wrong) or "none wrong, none above a second")
