"""What joint training is to be measured against: each task alone, with the same budget and a learning rate of its own; and a task
that no one had seen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.mtl.batches import Loader
from minimtl.mtl.evaluation.scores import better_when_higher
from minimtl.mtl.sharing import HardSharing
from minimtl.mtl.task import Task
from minimtl.mtl.trainer import Trainer
from minimtl.nn.utils import evaluating
from minimtl.optim import Optimizer
from minimtl.random import manual_seed

Rule = Callable[[Iterable[nn.Parameter], float], Optimizer]


@dataclass(frozen=True)
class Alone:
    """A task on its own: the rate that was best, the metrics of each seed at that rate, and the mean first metric at all rates."""

    lr: float
    scores: dict[str, list[float]]
    tried: dict[float, float]


def single_task(
    make: Callable[[str], nn.Module],
    tasks: Sequence[Task],
    data: Callable[[int], tuple[Loader, Loader]],
    optimizer: Rule,
    rates: Sequence[float],
    epochs: int,
    seeds: Iterable[int],
) -> dict[str, Alone]:
    """Every task alone, at every rate, from every seed; of each the rate whose first metric is best in the mean.

    make(task) gives a model with this head alone; data(seed) the loaders of all tasks, for training and for validation;
    optimizer(parameters, rate). Weights act as a learning rate, so a baseline whose rate is not tuned is none. The rate is chosen
    on the validation data, which favours the baselines a little; one at which a run diverges is not chosen.
    """
    if not rates or not (chosen := list(seeds)):
        raise ValueError("single_task: needs at least one rate and one seed")
    found = {}
    for task in tasks:
        measures = list(task.metrics) or ["loss"]
        runs = {lr: [last(make, task, data, optimizer, lr, epochs, seed) for seed in chosen] for lr in rates}
        tried = {lr: float(np.mean([run[f"{task.name} {measures[0]}"] for run in of])) for lr, of in runs.items()}
        if not np.isfinite(list(tried.values())).any():
            raise FloatingPointError(f"single_task: task {task.name!r} diverges at all rates {list(rates)}")
        sign = 1 if better_when_higher(measures[0]) else -1
        best = max(tried, key=lambda lr: sign * tried[lr] if np.isfinite(tried[lr]) else -np.inf)
        found[task.name] = Alone(best, {m: [run[f"{task.name} {m}"] for run in runs[best]] for m in measures}, tried)
    return found


def last(
    make: Callable[[str], nn.Module],
    task: Task,
    data: Callable[[int], tuple[Loader, Loader]],
    optimizer: Rule,
    lr: float,
    epochs: int,
    seed: int,
) -> dict[str, float]:
    """The validation metrics after training a task alone."""
    manual_seed(seed)
    training, validation = (of(task.name, loader) for loader in data(seed))
    manual_seed(seed)
    model = make(task.name)
    trainer = Trainer(model, [task], optimizer(model.parameters(), lr))
    try:
        trainer.fit(training, epochs, verbose=False)
    except FloatingPointError:  # a rate that is too large is one that was tried
        return {f"{task.name} {m}": float("nan") for m in (*task.metrics, "loss")}
    return trainer.evaluate(validation)


def of(task: str, loader: Loader) -> Loader:
    """The loader of a task, among those of several, or the one of all."""
    return {task: loader[task]} if isinstance(loader, Mapping) else loader


def held_out(
    trunk: nn.Module,
    head: nn.Module,
    task: Task,
    training: Iterable[Any],
    validation: Iterable[Any],
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    epochs: int,
) -> dict[str, float]:
    """How well a trunk serves a task that it was not trained for: the metrics of a new head on its features. φ stays as it is.

    Beside the same with a trunk of random weights it tells what φ has learnt that is of use elsewhere.
    """
    model = HardSharing(nn.Identity(), {task.name: head})
    trainer = Trainer(model, [task], optimizer(head.parameters()))
    trainer.fit(features(trunk, training), epochs, verbose=False)
    return trainer.evaluate(features(trunk, validation))


def features(trunk: nn.Module, loader: Any) -> list[tuple[Any, Any]]:
    """The batches of a loader with φ(x) in the place of x, in evaluation mode; the trunk is left in the mode it had."""
    with evaluating(trunk):
        return [(trunk(x), y) for x, y in loader]
