"""`python -m tests.mutation [--sample 300] [--seed 0] [--jobs 2] [--list]`: the share of mutants that the tests kill."""

import argparse
import math
import queue
import random
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.mutants import Mutant, all_mutants
from tests.mutation.trial import copy_repository, outcome, pytest

ROOT = Path(__file__).parents[2]


def run(mutants: list[Mutant], jobs: int) -> Counter[str]:
    """Try every mutant, tell of each, and count the outcomes."""
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / str(i) for i in range(jobs)]
        copy_repository(ROOT, folders[0])
        start = time.monotonic()
        if pytest(folders[0], []) != 0:
            raise SystemExit("the tests fail, or there are none, without any mutation")
        timeout = 3 * (time.monotonic() - start)
        free = queue.SimpleQueue[Path]()
        free.put(folders[0])
        for folder in folders[1:]:
            free.put(shutil.copytree(folders[0], folder))

        def tried(mutant: Mutant) -> str:
            folder, start = free.get(), time.monotonic()
            found = outcome(mutant, folder, timeout)
            line = f"{found:<12}{time.monotonic() - start:6.1f} s  {mutant}\n"
            diff = mutant.diff((folder / mutant.path).read_text(encoding="utf-8")) + "\n" if found == "survived" else ""
            free.put(folder)
            print(line + diff, end="", flush=True)
            return found

        with ThreadPoolExecutor(jobs) as pool:
            return Counter(pool.map(tried, mutants))


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval for a share of which k in n were seen."""
    middle, half = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return (middle - half) / (n + z * z), (middle + half) / (n + z * z)


def main(arguments: list[str] | None = None) -> float:
    """The score: the share of the competent mutants that did not survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="show the sample and run nothing")
    options = parser.parse_args(arguments)
    mutants = all_mutants(ROOT)
    sample = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    if options.list:
        print(*sample, f"{len(sample)} of {len(mutants)} mutants", sep="\n")
        return math.nan
    found = run(sample, options.jobs)
    killed, n = found["killed"] + found["timed out"], found.total() - found["incompetent"]
    print(", ".join(f"{found[what]} {what}" for what in ("killed", "survived", "timed out", "incompetent")))
    low, high = wilson(killed, n)
    print(f"score {killed / n:.3f}, 95 % interval {low:.3f} … {high:.3f}, of {len(mutants)} mutants")
    return killed / n


if __name__ == "__main__":
    main()
