"""What a model costs: parameters, arithmetic, time, memory."""

import copy
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.grad_mode import enable_grad
from minimtl.graph import Node, reachable
from minimtl.nn.utils import evaluating


@dataclass(frozen=True)
class Cost:
    """Parameters in all, trained, shared, and per task; multiply-adds of a forward pass, per sample; and of a step, forward and back,
    the median seconds and the largest memory, in bytes, that it takes beside the model."""

    parameters: int
    trained: int
    shared: int
    own: dict[str, int]
    multiply_adds: float
    seconds: float
    memory: int


def cost(model: nn.Module, x: Any, loss: Callable[[Any], Tensor] | None = None, repeats: int = 5) -> Cost:
    """The cost of a model on a batch x. `loss` makes one number of its outputs, unless given the sum of all of them.

    Measured on a copy: gradients and statistics of normalisation of the model stay.
    """
    model = copy.deepcopy(model)
    shared = getattr(model, "shared_parameters", None)
    heads, own = getattr(model, "heads", {}), getattr(model, "task_parameters", None)
    p = list(model.parameters())

    def step() -> None:
        (total if loss is None else loss)(model(x)).backward()
        model.zero_grad()

    return Cost(
        parameters=count(p),
        trained=count(q for q in p if q.requires_grad),
        shared=count(shared()) if shared else 0,
        own={k: count(own(k)) for k in heads} if own else {},
        multiply_adds=arithmetic(model, x),
        seconds=median_seconds(step, repeats),
        memory=peak(step),
    )


def count(parameters: Any) -> int:
    """How many numbers there are in parameters."""
    return sum(p.numel() for p in parameters)


def total(outputs: Any) -> Tensor:
    """The sum of all outputs."""
    tensors = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    return sum((t.sum() for t in tensors[1:]), tensors[0].sum())


def arithmetic(model: nn.Module, x: Any) -> float:
    """Multiply-adds of a forward pass, per sample, by the recorded graph: those of linear layers, convolutions and matrix products."""
    frozen = [p for p in model.parameters() if not p.requires_grad]
    batch = {k: asking(v) for k, v in x.items()} if isinstance(x, dict) else asking(x)
    try:
        for p in frozen:
            p.requires_grad_()  # so that all is recorded
        with evaluating(model), enable_grad():  # in training mode statistics would move
            nodes = reachable("cost", [total(model(batch)).grad_fn])
    finally:
        for p in frozen:
            p.requires_grad_(False)
    return sum(map(multiply_adds, nodes)) / len(next(iter(x.values())) if isinstance(x, dict) else x)


def asking(x: Any) -> Any:
    """Floating-point inputs as ones that ask for gradients, so that what is computed from them is recorded."""
    return Tensor(x.array, requires_grad=True) if isinstance(x, Tensor) and x.array.dtype.kind == "f" else x


def multiply_adds(node: Node) -> int:
    """Those of an operation: as many for each number that comes out as are summed for it."""
    shapes = [shape for _, _, shape, _ in node.edges or ()]  # of input, weight, bias
    images = [shape for shape in shapes if len(shape) == 4]
    if node.name in ("linear", "matmul"):
        return math.prod(node.shape) * shapes[0][-1]
    if node.name == "conv2d":
        return math.prod(node.shape) * math.prod(images[-1][1:])
    if node.name == "conv_transpose2d":
        return math.prod(images[0]) * math.prod(images[-1][1:])
    return 0


def median_seconds(step: Callable[[], None], repeats: int) -> float:
    """The median time of a step, after one that does not count."""
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(step: Callable[[], None]) -> int:
    """The most memory that a step holds at once, beyond what was there before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
