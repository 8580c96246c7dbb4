"""Training several tasks: which take part in a step, how their losses or gradients become one, a table of all tasks per epoch."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor, grad
from minimtl.backend import Array
from minimtl.grad_mode import no_grad
from minimtl.mtl.aggregation import Aggregation
from minimtl.mtl.batches import Epoch, Loader, Step
from minimtl.mtl.gradients import backward
from minimtl.mtl.objective import weighted_loss
from minimtl.mtl.schedule import Joint, Schedule
from minimtl.mtl.task import Task
from minimtl.mtl.weighting import Batch, Fixed, Function, Weighting
from minimtl.nn.utils import evaluating
from minimtl.optim import Optimizer
from minimtl.training import Callback, History, Means, progress, say
from minimtl.training.metrics import METRICS

Losses = dict[str, Tensor]


class Trainer:
    """Minimises Σₖ αₖ Lₖ(θₖ, φ) over mini-batches.      D1 §3.3

    `model(x)` gives {task: output}, or, where there is one task, its output. A loader yields batches (x, y), where y is one label,
    from which every task takes its `target`, or {task: label}; or it is a dictionary {task: loader}, where tasks have data of
    their own.

    weighting     how the losses become one: F(L₁, …), whose slopes ∂F/∂Lₖ are the weights αₖ; those of the tasks unless given.
                  A `mtl.weighting`, or a function of the losses (K,) → scalar
    aggregation   how the gradients ∂(αₖ Lₖ)/∂φ become one direction for φ: a `mtl.aggregation`, or any function of J (K, P) → (P,).
                  θₖ always follows the gradient of its own task
    at            "representation": the aggregation gets the gradients by z = φ(x) instead, K passes through the heads and one
                  through φ, for models with `features` and `outputs`
    schedule      which tasks take part in which step: a `mtl.schedule`, all unless given
    penalties     functions of the model that are added to the objective, as `mtl.Penalty`
    """

    def __init__(
        self,
        model: nn.Module,
        tasks: Sequence[Task],
        optimizer: Optimizer,
        *,
        weighting: Weighting | Callable[[Tensor], Tensor] | None = None,
        aggregation: Callable[[Array], Array] | None = None,
        at: str = "parameters",
        schedule: Schedule | None = None,
        penalties: Sequence[Callable[[Any], Tensor]] = (),
    ) -> None:
        check_tasks(model, tasks)
        check_rule("weighting", weighting)
        check_rule("aggregation", aggregation)
        trained = {p for group in optimizer.param_groups for p in group["params"]}
        if trained.isdisjoint(model.parameters()):
            raise ValueError("Trainer: the optimizer has no parameter of the model")
        self.model: Any = model  # what is asked of it depends on the other arguments
        self.optimizer, self.aggregation, self.at = optimizer, aggregation, at
        self.tasks = {task.name: task for task in tasks}
        self.weights = {task.name: task.weight for task in tasks}
        if isinstance(aggregation, Aggregation):
            aggregation.reset()  # a run starts from nothing, as the weighting does
        self.schedule, self.penalties = schedule or Joint(), list(penalties)
        self.weighting = self.began(weighting)
        self.check_parts()
        self.steps = 0

    def began(self, weighting: Weighting | Callable[[Tensor], Tensor] | None) -> Weighting:
        """The weighting, its parameters made and given to the optimiser."""
        if weighting is None:
            found: Weighting = Fixed(self.weights)
        elif set(self.weights.values()) != {1}:
            raise ValueError(f"Trainer: the tasks have weights {self.weights} beside a weighting; leave them 1")
        else:
            found = weighting if isinstance(weighting, Weighting) else Function(weighting)
        found.begin(list(self.tasks))
        own = list(found.trained())
        if own:
            options = {"weight_decay": 0.0} if "weight_decay" in self.optimizer.defaults else {}
            rate = {} if found.lr is None else {"lr": found.lr}
            self.optimizer.add_param_group({"params": own, **options, **rate})
        return found

    def check_parts(self) -> None:
        """What is asked of the model is there."""
        if self.at not in ("parameters", "representation"):
            raise ValueError(f"Trainer: at must be 'parameters' or 'representation', got {self.at!r}")
        halves, parts = ("features", "outputs"), ("shared_parameters", "task_parameters")
        needed = (*parts, *(halves if self.at == "representation" else ())) if self.aggregation else ()
        missing = [name for name in needed if not hasattr(self.model, name)]
        if missing:
            raise TypeError(f"Trainer: an aggregation at the {self.at} needs a model with {missing}")
        if self.at == "representation" and (self.aggregation is None or self.weighting.measured(self.shared())):
            raise ValueError(
                "Trainer: at='representation' needs an aggregation, and a weighting that measures no gradients of φ"
            )

    def shared(self) -> list[nn.Parameter]:
        """φ, as far as it is trained; of a model that does not tell φ from θₖ, all parameters."""
        parameters = getattr(self.model, "shared_parameters", self.model.parameters)
        return [p for p in parameters() if p.requires_grad]

    def fit(
        self,
        loader: Loader,
        epochs: int = 1,
        validation: Loader | None = None,
        verbose: bool = True,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train for so many epochs; after each, a row of the table, with the metrics on the validation data if given.

        `callbacks` do the rest, as `training.EarlyStopping`; one may end the run before.
        """
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"Trainer: epochs must be an integer ≥ 1, got {epochs!r}")
        history = History()
        for epoch in range(1, epochs + 1):
            start, means = time.perf_counter(), Means()
            for callback in callbacks:
                callback.before_epoch(self, epoch, epochs)
            self.model.train()
            steps: Iterable[Step] = Epoch(loader, list(self.tasks), self.schedule, epoch, epochs)
            for x, y, now in progress(steps, f"epoch {epoch}/{epochs}", show=verbose):
                if self.step(x, y, means, now):
                    for callback in callbacks:
                        callback.after_step(self)
            row = {"epoch": float(epoch), **self.summary(means)}
            self.weighting.after_epoch({k: row[f"{k} loss"] for k in self.tasks if f"{k} loss" in row})
            if validation is not None:
                row |= {f"validation {name}": value for name, value in self.evaluate(validation).items()}
            row["seconds"] = time.perf_counter() - start
            history.append(row)
            if verbose:
                say(history.table(header=epoch == 1, rows=history.rows[-1:]))
            over = [callback.after_epoch(self, row) for callback in callbacks]
            if any(over):
                break
        for callback in callbacks:
            callback.finish(self)
        return history

    def step(self, x: Any, y: Any, means: Means, now: Sequence[str] | None = None) -> bool:
        """One step of the tasks `now`; False if none has a label. A loss that is not finite stops before a parameter has moved."""
        self.steps += 1
        now = self.present(x, now)
        z, leaf = None, None
        if self.at == "representation":
            z = self.features(x)
            leaf = z.detach().requires_grad_()
        batch = self.measure(self.outputs(x) if leaf is None else self.model.outputs(leaf), y, means, now)
        L = batch.losses
        if not L:
            return False  # no sample has a label
        self.check_finite(L)
        measured = self.weighting.measured(self.shared())
        if measured:
            batch.norms = {k: norm_of(grad(loss, measured, retain_graph=True, allow_unused=True)) for k, loss in L.items()}
        self.optimizer.zero_grad()
        α = self.weigh(batch, means)
        for penalty in self.penalties:  # before the losses, whose graph is released: a penalty on features has a part of it
            value = penalty(self.model)
            self.check_finite({getattr(penalty, "__name__", type(penalty).__name__): value}, "penalty")
            value.backward(retain_graph=True)
        if self.aggregation is None:
            weighted_loss(L, α).backward()
        else:
            weighted = {k: α[k] * loss for k, loss in L.items() if α[k] > 0}  # a row of zeros would stop some methods
            θ = {k: self.model.task_parameters(k) for k in weighted}
            backward(weighted, self.shared() if leaf is None else [leaf], θ, self.aggregation)
            if z is not None and leaf is not None:
                z.backward(leaf.grad)
        self.check_gradients()
        self.optimizer.step()
        self.weighting.after_step(lambda: self.again(x, y, now))
        return True

    def outputs(self, x: Any) -> Mapping[str, Any]:
        """{task: output} of the model, which of one task may give the output alone."""
        found = self.model(x)
        return found if isinstance(found, Mapping) or len(self.tasks) > 1 else dict.fromkeys(self.tasks, found)

    def present(self, x: Any, now: Sequence[str] | None) -> Sequence[str]:
        """The tasks that take part: of those asked for, where a batch has inputs per task, the ones that have one."""
        asked = list(self.tasks) if now is None else now
        return [k for k in asked if k in x] if self.own_inputs(x) else asked

    def own_inputs(self, x: Any) -> bool:
        """Whether the inputs are {task: xₖ}."""
        return isinstance(x, Mapping) and set(x) <= set(self.tasks)

    def features(self, x: Any) -> Tensor:
        """z = φ(x)"""
        if self.own_inputs(x):
            raise ValueError("Trainer: at='representation' needs inputs that all tasks have in common")
        z: Tensor = self.model.features(x)
        return z

    def weigh(self, batch: Batch, means: Means) -> dict[str, float]:
        """{task: αₖ} of the batch."""
        self.weighting.observe(batch)
        α = self.weighting.weights(batch.losses)
        if not all(math.isfinite(a) and a >= 0 for a in α.values()) or not any(α.values()):
            name = type(self.weighting).__name__
            raise FloatingPointError(
                f"{name}: weights must be finite, not negative and not all 0, got {α} at step {self.steps}"
            )
        if not isinstance(self.weighting, Fixed):
            for k, a in α.items():
                means.add(f"{k} weight", a, 1)
        return α

    def check_finite(self, L: Losses, what: str = "loss of task") -> None:
        """Raise an error that names the task whose loss is not finite."""
        for k, loss in L.items():
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"Trainer: the {what} {k!r} is {loss.item()} at step {self.steps}")

    def check_gradients(self) -> None:
        """Raise an error that names the parameter whose gradient is not finite, as that of √ at 0."""
        for name, p in self.model.named_parameters():
            if p.grad is not None and not np.isfinite(p.grad.array).all():
                raise FloatingPointError(f"Trainer: the gradient of {name!r} is not finite at step {self.steps}")

    def again(self, x: Any, y: Any, now: Sequence[str]) -> Losses:
        """The losses of a batch once more."""
        with no_grad():
            return self.measure(self.outputs(x), y, Means(), now).losses

    def measure(self, outputs: Mapping[str, Any], y: Any, means: Means, now: Sequence[str]) -> Batch:
        """What the outputs are worth: losses and metrics, also added to the means, each labelled sample counting once."""
        batch = Batch()
        for k in now:
            if k not in outputs:
                raise KeyError(f"Trainer: the model has no output for task {k!r}, only for {list(outputs)}")
            task = self.tasks[k]
            with task.named_in_errors():
                output, labels = task.labelled(outputs[k], task.labels(y))
                n = batch.labels[k] = len(labels)
                if n == 0:
                    continue
                L = batch.losses[k] = task.loss(output, labels)
                if L.numel() != 1:
                    raise ValueError(f"the loss must be a scalar, got shape {L.shape}")
                means.add(f"{k} loss", L.item(), n)
                batch.metrics[k] = self.metrics(task, output, labels, means)
        return batch

    def metrics(self, task: Task, output: Any, labels: Tensor, means: Means) -> dict[str, float]:
        """The metrics of a batch, their sums added to the means; of an output that holds none, as of `transfer.adaptation`, none."""
        found = {}
        given = getattr(output, "output", output)  # of `Taught` the student's
        for m in task.metrics if given is not None else ():
            sums = METRICS[m].sums(given, labels)
            means.count(f"{task.name} {m}", METRICS[m].value, sums)
            found[m] = METRICS[m].value(sums)
        return found

    def summary(self, means: Means) -> dict[str, float]:
        """The means, after Σₖ αₖ Lₖ of them, α the tasks' own weights."""
        values = means.values()
        if not values:
            raise ValueError("Trainer: the loader gave no batch with a label")
        return {"loss": sum(α * values[f"{k} loss"] for k, α in self.weights.items() if f"{k} loss" in values), **values}

    def evaluate(self, loader: Loader) -> dict[str, float]:
        """{"loss": …, "digit loss": …, "digit accuracy": …}: mean losses and metrics of all tasks, in evaluation mode."""
        if isinstance(loader, Mapping):
            batches: Iterable[Any] = (({k: x}, {k: y}) for k in loader for x, y in loader[k])
        else:
            batches = loader
        means = Means()
        with evaluating(self.model):
            for x, y in batches:
                self.measure(self.outputs(x), y, means, self.present(x, None))
        return self.summary(means)


def check_tasks(model: nn.Module, tasks: Sequence[Task]) -> None:
    """Tasks of different names, one for each head, not all of weight 0."""
    names = [task.name for task in tasks]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"Trainer: needs tasks of different names, got {names}")
    heads = getattr(model, "heads", None)
    if heads is not None and set(heads.keys()) != set(names):
        raise ValueError(f"Trainer: the tasks are {names}, the heads of the model {list(heads.keys())}")
    if not any(task.weight for task in tasks):
        raise ValueError("Trainer: all weights are 0")


def check_rule(argument: str, rule: Any) -> None:
    """An instance or a function, not the class of one."""
    if rule is not None and (isinstance(rule, type) or not (callable(rule) or isinstance(rule, Weighting))):
        raise TypeError(f"Trainer: {argument} must be an instance of a class of mtl.{argument}, or a function, got {rule!r}")


def norm_of(gradients: Sequence[Tensor | None]) -> float:
    """‖g‖ of all gradients together, as one vector."""
    return math.sqrt(sum(float((g.array.astype(float) ** 2).sum()) for g in gradients if g is not None))
