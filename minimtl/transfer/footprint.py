"""What a model takes where it is used: bytes, numbers that are not 0, arithmetic, time; beside how good it is.      D3 §7, §8"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.evaluation import arithmetic
from minimtl.mtl.evaluation.cost import median_seconds
from minimtl.nn.utils import capturing, evaluating
from minimtl.training import Table
from minimtl.transfer.compression import PLAIN, permanent


class Footprint(NamedTuple):
    """Bytes of all numbers as they are kept, see `stored`; how many are not 0; multiply-adds of a forward pass, per sample, without
    those with weights of 0; the median seconds of a forward pass of the batch."""

    bytes: int
    nonzero: int
    multiply_adds: float
    seconds: float


def footprint_of(model: nn.Module, x: Any, repeats: int = 5) -> Footprint:
    """The footprint of a model on a batch x; the model stays as it is.

    Seconds are those of this engine, which computes in floating point with all zeros: pruning and eight bits save it none.
    """
    plain = permanent(copy.deepcopy(model)).eval()
    kept = {name: t for name, t in model.state_dict().items() if not name.endswith(("weight_orig", "weight_mask"))}
    whole = plain.state_dict()  # where the weights of pruned layers have their zeros
    pruned = {name: t for name, t in whole.items() if f"{name}_mask" in model.state_dict()}
    with evaluating(model):
        seconds = median_seconds(lambda: model(x), repeats)
    return Footprint(
        bytes=sum(stored(a.size, a.itemsize, int(np.count_nonzero(a))) for a in each(kept | pruned)),
        nonzero=sum(int(np.count_nonzero(a)) for a in each(whole)),
        multiply_adds=arithmetic(plain, x) - idle(plain, x),
        seconds=seconds,
    )


def each(state: Mapping[str, Tensor]) -> list[Array]:
    """The arrays, one that has two names once."""
    return list({id(t._version): t.array for t in state.values()}.values())


@equation(
    "tl.stored_bytes",
    r"B = \min(n b, k b + \lceil \frac{n}{8} \rceil)",
    conventions="n numbers of b bytes, k of them not 0: either all, or those that are not 0 and a bit for each of the n",
)
def stored(n: int, b: int, k: int) -> int:
    """B = min(n b, k b + ⌈n/8⌉)"""
    return min(n * b, k * b + -(-n // 8))


def idle(model: nn.Module, x: Any) -> float:
    """Multiply-adds with weights of 0, per sample: each weight is used once in every place of the output."""
    named: dict[str, Any] = {name: part for name, part in model.named_modules() if type(part) in PLAIN}
    if not named:
        return 0.0
    with evaluating(model), capturing(model, *named) as outputs:
        model(x)
    batch = len(next(iter(x.values())) if isinstance(x, Mapping) else x)
    zeros = {name: int((part.weight.array == 0).sum()) for name, part in named.items()}
    places = {name: y.numel() / len(named[name].weight) for name, y in outputs.items()}
    return sum(zeros[name] * n for name, n in places.items()) / batch


def footprint(
    models: Mapping[str, nn.Module], x: Any, score: Callable[[nn.Module], float] | None = None, repeats: int = 5
) -> Table:
    """Models side by side on a batch x, and score(model); see `Footprint`."""
    columns = ["model", "bytes", "not 0", "multiply-adds", "ms"] + ["score"] * (score is not None)
    table = Table("Footprints", columns, f"Milliseconds of a forward pass, the median of {repeats}")
    for name, model in models.items():
        f = footprint_of(model, x, repeats)
        cells = [f"{f.bytes:,}", f"{f.nonzero:,}", f"{f.multiply_adds:,.0f}", f"{1000 * f.seconds:.2f}"]
        table.add(name, *cells, *([f"{score(model):.4f}"] if score is not None else []))
    return table
