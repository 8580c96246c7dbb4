"""AdaBN: the statistics of the target in the place of the source's, in every batch normalisation; Li et al. 2018."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.nn.layers import BatchNorm
from minimtl.nn.utils import evaluating

M = TypeVar("M", bound=nn.Module)


def adabn(model: M, loader: Iterable[Any]) -> M:
    """A copy of the model whose batch normalisations have μ_c and σ²_c of their inputs over the whole loader; see `statistics`.

    The loader gives (x, y), y being ignored, or x. All else is the model's: no parameter moves, the model itself is left as it is. One
    layer after the other: the inputs of each are what comes of those before it, their new statistics included, in evaluation mode. So
    the result does not depend on how the data is cut into batches, and costs a forward pass for each layer. What is frozen stays.
    """
    adapted = copy.deepcopy(model)
    layers = {m: name for name, m in adapted.named_modules() if isinstance(m, BatchNorm) and m.running_mean is not None}
    moving = [m for m in layers if not m.frozen]
    if not moving:
        raise ValueError(f"adabn: {type(model).__name__} has no batch normalisation with statistics that is not frozen")
    order = called(adapted, moving, first(loader))
    twice = sorted({layers[m] for m in order if order.count(m) > 1})
    if twice:
        raise ValueError(f"adabn: {twice} are called more than once in a pass: their inputs have no one distribution")
    for layer in order:
        μ, σ2 = measured(adapted, layer, loader)
        layer.running_mean.copy_(Tensor(μ.astype(layer.running_mean.dtype)))  # type: ignore[union-attr]
        layer.running_var.copy_(Tensor(σ2.astype(layer.running_var.dtype)))  # type: ignore[union-attr]
    return adapted


def inputs(batch: Any) -> Any:
    """x of (x, y) or of x."""
    return batch[0] if isinstance(batch, (tuple, list)) else batch


def first(loader: Iterable[Any]) -> Any:
    """The first batch."""
    batch = next(iter(loader), None)
    if batch is None:
        raise ValueError("adabn: the loader has no batch")
    return inputs(batch)


def run(model: nn.Module, layers: list[BatchNorm], x: Any, see: Callable[[BatchNorm, Tensor], object]) -> None:
    """A pass in evaluation mode, in which `see(layer, input)` is told what each layer gets."""

    def watched(layer: BatchNorm, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def seen(x: Tensor) -> Tensor:
            see(layer, x)
            return forward(x)

        return seen

    try:
        for layer in layers:
            vars(layer)["forward"] = watched(layer, layer.forward)
        with evaluating(model):
            model(x)
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def called(model: nn.Module, layers: list[BatchNorm], x: Any) -> list[BatchNorm]:
    """The layers in the order in which a pass calls them."""
    order: list[BatchNorm] = []
    run(model, layers, x, lambda layer, _: order.append(layer))
    return order


def measured(model: nn.Module, layer: BatchNorm, loader: Iterable[Any]) -> tuple[Array, Array]:
    """Mean and variance of what the layer gets of all batches, each channel's."""

    def channels() -> Iterator[Array]:
        seen: list[Array] = []
        for batch in loader:
            run(model, [layer], inputs(batch), lambda _, x: seen.append(np.moveaxis(x.array, 1, 0)))
            x = seen.pop().astype(np.float64)
            yield x.reshape(len(x), -1)

    return statistics(channels())


@equation(
    "tl.adabn",
    r"\sigma^2_c = \frac{1}{N - 1} \sum_{i=1}^{N} (x_{ci} - \mu_c)^2, \quad \mu_c = \frac{1}{N} \sum_{i=1}^{N} x_{ci}",
    symbols={"x": "parts"},
    shapes="x (C, N) → σ2 ()",
    source="Li et al. 2018",
    conventions="x are the inputs of a layer over all data of the target, i counts samples and places; N − 1 as in the running "
    "variance of training",
)
def statistics(parts: Iterable[Array]) -> tuple[Array, Array]:
    """σ²[c] = 1 / (N − 1) · Σᵢ (x[c,i] − μ[c])²;  μ[c] = 1/N Σᵢ x[c,i]      of x (C, N) in parts (C, n) → μ (C,), σ² (C,)"""
    N, μ, S = 0, np.zeros(1), np.zeros(1)  # S = Σᵢ (xᵢ − μ)²
    for x in parts:
        n, m = x.shape[1], x.mean(axis=1)
        S = S + ((x - m[:, None]) ** 2).sum(axis=1) + (m - μ) ** 2 * (N * n / (N + n))
        μ, N = μ + (m - μ) * (n / (N + n)), N + n
    if N < 2:
        raise ValueError(f"adabn: a variance needs two values a channel, got {N}")
    return μ, S / (N - 1)
