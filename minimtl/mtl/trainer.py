"""Training several tasks together: one weighted loss per step, a table of all tasks per epoch."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from minimtl import nn
from minimtl.autograd import Tensor, no_grad
from minimtl.mtl.objective import weighted_loss
from minimtl.mtl.task import Task
from minimtl.optim import Optimizer
from minimtl.training import History, Means, progress, say
from minimtl.training.metrics import METRICS

Loader = Iterable[Any] | Mapping[str, Iterable[Any]]


class Trainer:
    """Minimises Σₖ αₖ Lₖ(θₖ, φ) over mini-batches.      D1 §3.3

    `model(x)` gives {task: output}. A loader yields batches (x, y), where y is one label, from which every task takes its
    `target`, or {task: label}; or it is a dictionary {task: loader}, where tasks have data of their own: then a step takes a
    batch of each, an epoch is as long as the longest loader, and shorter ones start over.
    """

    def __init__(self, model: nn.Module, tasks: Sequence[Task], optimizer: Optimizer) -> None:
        names = [task.name for task in tasks]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Trainer: needs tasks of different names, got {names}")
        heads = getattr(model, "heads", None)
        if heads is not None and set(heads.keys()) != set(names):
            raise ValueError(f"Trainer: the tasks are {names}, the heads of the model {list(heads.keys())}")
        if not any(task.weight for task in tasks):
            raise ValueError("Trainer: all weights are 0")
        self.model, self.optimizer = model, optimizer
        self.tasks = {task.name: task for task in tasks}
        self.steps = 0

    def fit(self, loader: Loader, epochs: int = 1, validation: Loader | None = None, verbose: bool = True) -> History:
        """Train for so many epochs; after each, a row of the table, with the metrics on the validation data if given."""
        history = History()
        for epoch in range(1, epochs + 1):
            start, means = time.perf_counter(), Means()
            self.model.train()
            bar = progress(self.batches(loader), f"epoch {epoch}/{epochs}", show=verbose)
            for x, y in bar:
                self.step(x, y, means)
            row = {"epoch": float(epoch), **means.values()}
            if validation is not None:
                row |= {f"validation {name}": value for name, value in self.evaluate(validation).items()}
            row["seconds"] = time.perf_counter() - start
            history.append(row)
            if verbose:
                say(history.table(header=epoch == 1, rows=history.rows[-1:]))
        return history

    def step(self, x: Any, y: Any, means: "Means") -> None:
        """One step down the gradient of the weighted loss. A loss that is not finite stops before anything has moved."""
        self.steps += 1
        outputs = self.model(x)
        L = self.losses(outputs, y)
        for k, loss in L.items():
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"Trainer: the loss of task {k!r} is {loss.item()} at step {self.steps}")
        total = weighted_loss(L, {k: task.weight for k, task in self.tasks.items()})
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        means.add("loss", total.item(), 1)
        self.measure(outputs, y, L, means)

    def losses(self, outputs: Mapping[str, Tensor], y: Any) -> dict[str, Tensor]:
        """L: task → its loss on a batch, a scalar."""
        L = {k: task.loss(outputs[k], task.labels(y)) for k, task in self.tasks.items() if k in outputs}
        for k, loss in L.items():
            if loss.numel() != 1:
                raise ValueError(f"Trainer: the loss of task {k!r} must be a scalar, got shape {loss.shape}")
        return L

    def measure(self, outputs: Mapping[str, Tensor], y: Any, L: Mapping[str, Tensor], means: "Means") -> None:
        """Add loss and metrics of a batch to the running means, each sample counting once."""
        for k, loss in L.items():
            labels = self.tasks[k].labels(y)
            means.add(f"{k} loss", loss.item(), len(labels))
            for metric in self.tasks[k].metrics:
                means.add(f"{k} {metric}", METRICS[metric](outputs[k], labels), len(labels))

    def evaluate(self, loader: Loader) -> dict[str, float]:
        """{"digit loss": …, "digit accuracy": …}: the mean loss and the metrics of every task, in evaluation mode."""
        means, training = Means(), self.model.training
        self.model.eval()
        with no_grad():
            if isinstance(loader, Mapping):
                batches: Iterator[Any] = (({k: x}, {k: y}) for k in loader for x, y in loader[k])
            else:
                batches = iter(loader)
            for x, y in batches:
                outputs = self.model(x)
                self.measure(outputs, y, self.losses(outputs, y), means)
        self.model.train(training)
        return means.values()

    def batches(self, loader: Loader) -> Iterable[Any]:
        """The batches of an epoch; of loaders per task, one batch of each per step."""
        if not isinstance(loader, Mapping):
            return loader
        if set(loader) != set(self.tasks):
            raise ValueError(f"Trainer: the tasks are {list(self.tasks)}, the loaders are for {list(loader)}")
        return Joint(loader)


class Joint:
    """A batch of every task at each step: ({task: xₖ}, {task: yₖ}), as often as the longest loader has batches."""

    def __init__(self, loaders: Mapping[str, Any]) -> None:
        self.loaders = loaders
        empty = [k for k, loader in loaders.items() if len(loader) == 0]
        if empty:
            raise ValueError(f"Trainer: tasks {empty} have no batch")

    def __len__(self) -> int:
        return max(len(loader) for loader in self.loaders.values())

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
        streams = {k: restarted(loader) for k, loader in self.loaders.items()}
        for _ in range(len(self)):
            batch = {k: next(stream) for k, stream in streams.items()}
            yield {k: x for k, (x, _) in batch.items()}, {k: y for k, (_, y) in batch.items()}


def restarted(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches of the loader, again and again; every round shuffles anew."""
    while True:
        yield from loader
