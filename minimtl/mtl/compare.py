"""Sharing × method × seeds in one call: every combination trained alike, kept run by run, told in one table.

    result = compare(
        tasks, data, optimizer=lambda p: optim.Adam(p, lr=1e-3), epochs=5, seeds=range(5), out="runs",
        sharing={"hard": hard, "MMoE": experts},
        methods={"equal": dict, "PCGrad": lambda: {"aggregation": mtl.aggregation.PCGrad()}},
    )
    print(result.table().text())

A run is a file in the folder `out`. One that is there is not made again, so a comparison that was stopped goes on, and two
processes with different seeds may fill one folder. A variant is known by its names; files made with other tasks, weights, metrics,
epochs or another optimiser are refused, but what a function of `sharing`, `methods` or `data` makes is not looked at: give it another
name.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from minimtl import nn
from minimtl.backend import Array
from minimtl.mtl.batches import Loader
from minimtl.mtl.evaluation import delta_m, interval, mean_rank
from minimtl.mtl.task import Task
from minimtl.mtl.trainer import Trainer
from minimtl.ops import zeros
from minimtl.optim import Optimizer
from minimtl.random import manual_seed
from minimtl.training import Table, say
from minimtl.training.metrics import SHARES

Make = Callable[[], nn.Module]
Options = Callable[[], Mapping[str, Any]]
Scores = dict[str, dict[str, list[float]]]  # task → metric → one value for each seed


@dataclass
class Run:
    """One training run: what was combined, the settings, and the rows of its history."""

    sharing: str
    method: str
    seed: int
    settings: str
    rows: list[dict[str, float]]

    @property
    def last(self) -> dict[str, float]:
        """The row of the last epoch."""
        return self.rows[-1]


def compare(
    tasks: Sequence[Task],
    data: Callable[[int], tuple[Loader, Loader]],
    sharing: Mapping[str, Make],
    methods: Mapping[str, Options],
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    epochs: int,
    seeds: Iterable[int],
    out: str | Path | None = None,
    verbose: bool = True,
) -> "Comparison":
    """Train every sharing with every method from every seed.

    data(seed) gives the loaders for training and for validation; sharing: name → a function that makes a model; methods: name → a
    function that makes the Trainer's options (`weighting`, `aggregation`, `schedule` …), anew for each run.
    """
    if not sharing or not methods or not (chosen := list(seeds)):
        raise ValueError("compare: needs at least one sharing, one method and one seed")
    wanted = [(task.name, task.weight, *task.metrics) for task in tasks]
    settings = f"{wanted}, {epochs} epochs, {optimizer([nn.Parameter(zeros(1))])}"
    runs = []
    for seed in chosen:
        for s, make in sharing.items():
            for m, options in methods.items():
                path = None if out is None else Path(out) / f"{file_name(s)}-{file_name(m)}-{seed}.json"
                run = kept(path, settings)
                if run is None:
                    rows = train(tasks, data, make, options, optimizer, epochs, seed)
                    run = Run(s, m, seed, settings, rows)
                    keep(path, run)
                runs.append(run)
                if verbose:
                    say(f"{s}, {m}, seed {seed}: {brief(tasks, run)}")
    return Comparison(tasks, runs)


def train(
    tasks: Sequence[Task],
    data: Callable[[int], tuple[Loader, Loader]],
    make: Make,
    options: Options,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    epochs: int,
    seed: int,
) -> list[dict[str, float]]:
    """The history of one run. The seed decides data, initial weights and all that is drawn, whatever ran before."""
    manual_seed(seed)
    training, validation = data(seed)
    manual_seed(seed)  # models of one kind start alike, however much the data has drawn
    model = make()
    trainer = Trainer(model, tasks, optimizer(model.parameters()), **options())
    return trainer.fit(training, epochs, validation, verbose=False).rows


def file_name(name: str) -> str:
    """The name as a file may be called; two names never become one."""
    return quote(name, safe="").replace("-", "%2D")


def kept(path: Path | None, settings: str) -> Run | None:
    """The run in a file, if it is there."""
    if path is None or not path.exists():
        return None
    run = Run(**json.loads(path.read_text(encoding="utf-8")))
    if run.settings != settings:
        raise ValueError(f"compare: {path} was made with {run.settings}, not with {settings}; take another folder")
    return run


def keep(path: Path | None, run: Run) -> None:
    """Write the run whole or not at all."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(asdict(run)), encoding="utf-8")
        os.replace(part, path)


def brief(tasks: Sequence[Task], run: Run) -> str:
    """The last metrics in a line."""
    return ", ".join(f"{k} {m} {run.last[f'validation {k} {m}']:.4f}" for k, m in measures(tasks))


def measures(tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """(task, metric) of all metrics; of tasks without any the loss."""
    return [(task.name, m) for task in tasks for m in (task.metrics or ["loss"])]


class Comparison:
    """The runs of `compare`, by variant: (sharing, method)."""

    def __init__(self, tasks: Sequence[Task], runs: Sequence[Run]) -> None:
        self.tasks, self.runs = list(tasks), list(runs)
        self.variants = list(dict.fromkeys((run.sharing, run.method) for run in runs))

    def of(self, sharing: str, method: str) -> list[Run]:
        """The runs of a variant, in the order of seeds."""
        found = [run for run in self.runs if (run.sharing, run.method) == (sharing, method)]
        if not found:
            raise KeyError(f"compare: there is no variant {(sharing, method)}; there are {self.variants}")
        return sorted(found, key=lambda run: run.seed)

    def label(self, sharing: str, method: str) -> str:
        """What tells a variant from the others: the method, the sharing, or both."""
        one_sharing, one_method = (len(set(names)) == 1 for names in zip(*self.variants, strict=True))
        return method if one_sharing else sharing if one_method else f"{sharing}, {method}"

    def scores(self, sharing: str, method: str) -> Scores:
        """{task: {metric: [of each seed]}} on the validation data after the last epoch."""
        runs, found = self.of(sharing, method), dict[str, dict[str, list[float]]]()
        for k, m in measures(self.tasks):
            found.setdefault(k, {})[m] = [run.last[f"validation {k} {m}"] for run in runs]
        return found

    def curve(self, sharing: str, method: str, name: str) -> Array:
        """What was recorded under the name, "validation digit accuracy" or "digit weight": (seeds, epochs)."""
        return np.array([[row.get(name, np.nan) for row in run.rows] for run in self.of(sharing, method)])

    def means(self, sharing: str, method: str) -> dict[str, dict[str, float]]:
        """{task: {metric: mean over seeds}}"""
        return {k: {m: float(np.mean(v)) for m, v in by.items()} for k, by in self.scores(sharing, method).items()}

    def delta_m(self, sharing: str, method: str, baseline: Mapping[str, Mapping[str, float]]) -> list[float]:
        """Δm of each seed, in percent, against the means of single-task baselines."""
        scores = self.scores(sharing, method)
        each = [{k: {m: v[i] for m, v in by.items()} for k, by in scores.items()} for i in range(len(self.of(sharing, method)))]
        return [delta_m(one, baseline) for one in each]

    def table(self, baseline: Mapping[str, Mapping[str, float]] | None = None, title: str = "Comparison") -> Table:
        """A row for each variant: metrics, Δm where there is a baseline, mean rank, seconds an epoch; ± is half of a 95 % interval."""
        seeds = len({run.seed for run in self.runs})
        columns = (
            [f"{k} {m}" for k, m in measures(self.tasks)] + ["Δm, %"] * (baseline is not None) + ["mean rank", "s an epoch"]
        )
        table = Table(title, ["variant", *columns], about=f"{seeds} seeds; ± is half of a 95 % interval")
        ranks = mean_rank({f"{s}, {m}": self.means(s, m) for s, m in self.variants})
        for s, m in self.variants:
            scores = self.scores(s, m)
            cells = [shown(scores[k][name], name) for k, name in measures(self.tasks)]
            if baseline is not None:
                cells.append(shown(self.delta_m(s, m, baseline)))
            seconds = float(np.mean(self.curve(s, m, "seconds")))
            table.add(self.label(s, m), *cells, f"{ranks[f'{s}, {m}']:.1f}", f"{seconds:.2f}")
        return table


def shown(values: Sequence[float], metric: str = "") -> str:
    """The mean of the seeds and half of the interval; shares in percent."""
    percent = 100 if metric in SHARES else 1
    scaled = [percent * v for v in values]
    digits = 2 if percent == 100 or metric == "" else 4
    if len(scaled) == 1:
        return f"{scaled[0]:.{digits}f}"
    found = interval(scaled)
    return f"{found.mean:.{digits}f} ± {found.half:.{digits}f}"
