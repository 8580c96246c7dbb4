"""How to fine-tune: which layers move, when, and how fast.      D0 §3.2, D4 §3, D3 §8

groups = transfer.discriminative(model, lr=0.01, layers=["conv1", "conv2", "fc"])     a rate for each layer
transfer.GradualUnfreezing(["conv1", "conv2", "fc"])                                  a callback: a layer an epoch, from the top
transfer.SlantedTriangularLR(optimizer, steps)                                        up soon, down slowly
transfer.two_stage(model, "fc", fit)                                                  the head first, then all
transfer.schemes(source, fresh, head, through="conv2")                                D4's three, for `mtl.compare`
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from minimtl import nn
from minimtl.equation import equation
from minimtl.optim import Optimizer
from minimtl.optim.lr_scheduler import LRScheduler
from minimtl.training import Callback
from minimtl.transfer.freezing import freeze, unfreeze
from minimtl.transfer.heads import part_of

M = TypeVar("M", bound=nn.Module)


def layers_of(model: nn.Module, layers: Sequence[str] | None) -> list[str]:
    """The names of layers from the input to the output, the parts of the model that have parameters unless given; they hold all."""
    names = (
        [name for name, part in model.named_children() if next(part.parameters(), None) is not None]
        if layers is None
        else list(layers)
    )
    held = {p for name in names for p in part_of(model, name).parameters()}
    left = [name for name, p in model.named_parameters() if p not in held]
    if left or not names:
        raise ValueError(f"layers: {names} leave out {left}")
    return names


def discriminative(
    model: nn.Module, lr: float, decay: float = 2.6, layers: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Groups for an optimiser: the last layer at the rate lr, every one below at 1/2.6 of the one above; Howard and Ruder 2018"""
    if not (lr > 0 and decay >= 1):
        raise ValueError(f"discriminative: needs lr > 0 and decay ≥ 1, got {lr} and {decay}")
    names = layers_of(model, layers)
    n, seen, groups = len(names), set[nn.Parameter](), []
    for l, name in enumerate(names, 1):
        own = [p for p in part_of(model, name).parameters() if p not in seen]
        seen.update(own)
        groups.append({"params": own, "lr": rate_of_layer(lr, decay, l, n)})
    return groups


@equation(
    "tl.discriminative",
    r"\eta' = \frac{\eta}{d^{n - l}}",
    source="Howard and Ruder 2018",
    conventions="layer l of n, counted from the input; d = 2.6",
)
def rate_of_layer(η: float, d: float, l: int, n: int) -> float:
    """η′ = η / d^{n − l}"""
    return η / d ** (n - l)


class GradualUnfreezing(Callback):
    """In the first epoch the last layer alone is trained, then one more in every epoch, down to the first; Howard and Ruder 2018

    `layers` are names from the input to the output, in `every` epochs each; the optimiser has the parameters of all.
    """

    def __init__(self, layers: Sequence[str] | None = None, every: int = 1) -> None:
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"GradualUnfreezing: every must be an integer ≥ 1, got {every!r}")
        self.layers, self.every = layers, every

    def before_epoch(self, run: Any, epoch: int, epochs: int) -> None:
        names = layers_of(run.model, self.layers)
        thawed = 1 + (epoch - 1) // self.every
        unfreeze(run.model, *names[-thawed:])
        if names[:-thawed]:
            freeze(run.model, *names[:-thawed])


class SlantedTriangularLR(LRScheduler):
    """η₀ times a triangle: from 1/ratio up over the share `cut` of all steps, and down again; Howard and Ruder 2018

    One `step()` for each step of the optimiser: `training.Scheduled(…, every="step")`.
    """

    def __init__(self, optimizer: Optimizer, steps: int, cut: float = 0.1, ratio: float = 32.0) -> None:
        if not (isinstance(steps, int) and steps >= 2 and 0 < cut < 1 and ratio >= 1):
            raise ValueError(
                f"SlantedTriangularLR: needs steps ≥ 2, cut in (0, 1) and ratio ≥ 1, got {steps}, {cut} and {ratio}"
            )
        self.steps, self.cut, self.ratio = steps, max(1, int(steps * cut)), ratio
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        return slanted(base, min(t, self.steps), self.cut, self.steps, self.ratio)


@equation(
    "tl.slanted_triangular",
    r"\eta' = \eta \frac{1 + p (r - 1)}{r}, \quad p = \min(\frac{t}{c}, \frac{T - t}{T - c})",
    source="Howard and Ruder 2018",
    conventions="in step t of T the rate rises until step c, then falls; where c is rounded the paper falls a little faster or slower",
)
def slanted(η: float, t: int, c: int, T: int, r: float) -> float:
    """η′ = η (1 + p (r − 1)) / r;  p = min(t/c, (T − t) / (T − c))"""
    p = min(t / c, (T - t) / (T - c))
    return η * (1 + p * (r - 1)) / r


def two_stage(
    model: M, head: str | Iterable[str], fit: Callable[[M, int], Any], *, after: Callable[[M], object] = unfreeze
) -> tuple[Any, Any]:
    """First the head on frozen features, then all: fit(model, 1), then fit(model, 2), of which the second should take a lower rate.

    So the large gradients of a head that knows nothing do not spoil the features. `after` is what happens between the two, as
    `lambda m: transfer.unfreeze(m, "layer4")`. Returns what `fit` returned.
    """
    freeze(model, except_=head)
    first = fit(model, 1)
    after(model)
    return first, fit(model, 2)


def schemes(
    source: M, fresh: Callable[[], M], head: Callable[[M], M], through: str | None = None
) -> dict[str, Callable[[], M]]:
    """D4's schemes of transfer, as functions that make a model: `mtl.compare(…, sharing=transfer.schemes(…))` trains them alike.

    "full" starts at θₜ ← θₛ and moves all of it; "partial" keeps what comes up to the end of part `through`, all but the new head
    unless given; "zero" takes nothing of θₛ: `fresh()` draws a model anew. head(model) gives it the target's head.
    """

    def full() -> M:
        return head(copy.deepcopy(source))

    def partial() -> M:
        model = freeze(copy.deepcopy(source), through=through)
        return head(model)

    return {"full": full, "partial": partial, "zero": lambda: head(fresh())}
