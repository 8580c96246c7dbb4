"""Training several tasks together: one weighted loss per step, a table of all tasks per epoch."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.grad_mode import no_grad
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
        trained = {p for group in optimizer.param_groups for p in group["params"]}
        if trained.isdisjoint(model.parameters()):
            raise ValueError("Trainer: the optimizer has no parameter of the model")
        self.model, self.optimizer = model, optimizer
        self.tasks = {task.name: task for task in tasks}
        self.weights = {task.name: task.weight for task in tasks}  # α
        self.steps = 0

    def fit(self, loader: Loader, epochs: int = 1, validation: Loader | None = None, verbose: bool = True) -> History:
        """Train for so many epochs; after each, a row of the table, with the metrics on the validation data if given."""
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"Trainer: epochs must be an integer ≥ 1, got {epochs!r}")
        history = History()
        for epoch in range(1, epochs + 1):
            start, means = time.perf_counter(), Means()
            self.model.train()
            for x, y in progress(self.batches(loader), f"epoch {epoch}/{epochs}", show=verbose):
                self.step(x, y, means)
            row = {"epoch": float(epoch), **self.summary(means)}
            if validation is not None:
                row |= {f"validation {name}": value for name, value in self.evaluate(validation).items()}
            row["seconds"] = time.perf_counter() - start
            history.append(row)
            if verbose:
                say(history.table(header=epoch == 1, rows=history.rows[-1:]))
        return history

    def step(self, x: Any, y: Any, means: Means) -> None:
        """One step down the gradient of the weighted loss. A loss that is not finite stops before anything has moved."""
        self.steps += 1
        L = self.losses(x, y, means)  # all that can fail comes before the first parameter moves
        for k, loss in L.items():
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"Trainer: the loss of task {k!r} is {loss.item()} at step {self.steps}")
        self.optimizer.zero_grad()
        weighted_loss(L, self.weights).backward()
        self.optimizer.step()

    def losses(self, x: Any, y: Any, means: Means) -> dict[str, Tensor]:
        """L: task → its loss on a batch, a scalar; losses and metrics are added to the means, each sample counting once."""
        outputs, L = self.model(x), {}
        own = isinstance(x, Mapping) and set(x) <= set(self.tasks)  # the batch has inputs of some tasks only
        for k, task in self.tasks.items():
            if own and k not in x:
                continue
            if k not in outputs:
                raise KeyError(f"Trainer: the model has no output for task {k!r}, only for {list(outputs)}")
            labels = task.labels(y)
            with task.named_in_errors():
                L[k] = task.loss(outputs[k], labels)
                if L[k].numel() != 1:
                    raise ValueError(f"the loss must be a scalar, got shape {L[k].shape}")
                means.add(f"{k} loss", L[k].item(), len(labels))
                for metric in task.metrics:
                    means.add(f"{k} {metric}", METRICS[metric](outputs[k], labels), len(labels))
        return L

    def summary(self, means: Means) -> dict[str, float]:
        """The means, after Σₖ αₖ Lₖ of them."""
        values = means.values()
        if not values:
            raise ValueError("Trainer: the loader gave no batch")
        return {"loss": sum(α * values[f"{k} loss"] for k, α in self.weights.items() if f"{k} loss" in values), **values}

    def evaluate(self, loader: Loader) -> dict[str, float]:
        """{"loss": …, "digit loss": …, "digit accuracy": …}: mean losses and metrics of all tasks, in evaluation mode."""
        if isinstance(loader, Mapping):
            batches: Iterator[Any] = (({k: x}, {k: y}) for k in loader for x, y in loader[k])
        else:
            batches = iter(loader)
        means, modes = Means(), {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            with no_grad():
                for x, y in batches:
                    self.losses(x, y, means)
        finally:
            for module, mode in modes.items():
                module.training = mode
        return self.summary(means)

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
