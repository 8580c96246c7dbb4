"""Looking inside: what in the input a class depends on.      D3 §7

    transfer.saliency(model, x)                    |∂y_c/∂x|, pixel by pixel
    transfer.smooth_grad(model, x)                 its mean over noisy copies of x
    transfer.grad_cam(model, x, "conv2")           where in the picture layer "conv2" speaks for the class
    plot.heat(pictures, maps)                      maps over pictures; plot.filters(model.conv1.weight): what a first layer looks for

All run the model in evaluation mode and leave its mode and its gradients as they are. c is the class of largest output, unless said.
Adebayo et al. 2018: a map that does not change when the weights are drawn anew says nothing of the model. Try that first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor, grad
from minimtl.backend import Array, to_numpy
from minimtl.equation import equation
from minimtl.grad_mode import enable_grad
from minimtl.nn.utils import capturing, evaluating
from minimtl.ops import arange
from minimtl.random import Generator, rng_of

Classes = int | Sequence[int] | Tensor | None


def class_outputs(name: str, outputs: Any, task: str | None) -> Tensor:
    """y (N, C) of the model, or of one of its tasks."""
    y = outputs[task] if task is not None else outputs
    if not isinstance(y, Tensor) or y.ndim != 2:
        said = list(y) if isinstance(y, dict) else getattr(y, "shape", type(y).__name__)
        raise ValueError(f"{name}: needs a model that gives (N, C), or task= one of its tasks, got {said}")
    return y


def scores(name: str, outputs: Any, classes: Classes, task: str | None) -> Tensor:
    """y_c of each sample      (N, C) → (N)"""
    y = class_outputs(name, outputs, task)
    N, C = y.shape
    c = y.argmax(dim=1).numpy() if classes is None else np.asarray(getattr(classes, "array", classes))
    if c.dtype.kind not in "iu" or c.shape not in ((), (N,)) or not ((c >= 0) & (c < C)).all():
        raise ValueError(f"{name}: classes must be one of 0 … {C - 1}, or {N} of them, got {classes}")
    return y[arange(N), Tensor(np.broadcast_to(c, (N,)).astype(np.int64))]


def input_gradient(name: str, model: nn.Module, x: Tensor, classes: Classes, task: str | None) -> Array:
    """∂y_c/∂x of each sample      in the shape of x"""
    if not isinstance(x, Tensor) or x.dtype.kind != "f":
        raise TypeError(f"{name}: x must be a Tensor of floating-point numbers, got {getattr(x, 'dtype', type(x).__name__)}")
    leaf = Tensor(x.array, requires_grad=True)
    with evaluating(model), enable_grad():
        (g,) = grad(scores(name, model(leaf), classes, task).sum(), leaf, allow_unused=True)
    return np.zeros(x.shape, x.dtype) if g is None else to_numpy(g.array)


@equation(
    "tl.saliency",
    r"S_i = |\frac{\partial y_c}{\partial x_i}|",
    symbols={"dyc_dx": "model", "c": "classes"},
    source="Simonyan et al. 2014",
    conventions="of a sample x; y_c is the output of class c before softmax; of pictures in colour the largest channel is shown",
    unseen=("x", "task", "times_input"),
)
def saliency(
    model: nn.Module, x: Tensor, classes: Classes = None, *, task: str | None = None, times_input: bool = False
) -> Array:
    """Sᵢ = |∂y[c]/∂xᵢ|, or |xᵢ ∂y[c]/∂xᵢ| with `times_input`; in the shape of x      Simonyan et al. 2014

    y: what the model gives (N, C), before softmax; c: `classes`, one for all samples or one for each.
    """
    g = input_gradient("saliency", model, x, classes, task)
    return np.abs(to_numpy(x.array) * g if times_input else g)


@equation(
    "tl.smooth_grad",
    r"S_i = \frac{1}{n} \sum_{k=1}^{n} |g_{ki}|",
    shapes="g (n, d) → S (d)",
    source="Smilkov et al. 2017",
    conventions="g_k is ∂y_c/∂x at x + σ ε_k, ε standard normal",
)
def mean_magnitude(g: Array) -> Array:
    """Sᵢ = 1/n Σₖ |gₖᵢ|      (n, …) → (…)"""
    return np.abs(g).mean(axis=0)


def smooth_grad(
    model: nn.Module,
    x: Tensor,
    classes: Classes = None,
    *,
    task: str | None = None,
    n: int = 25,
    noise: float = 0.15,
    generator: Generator | None = None,
) -> Array:
    """S = 1/n Σₖ |∂y_c/∂x at x + σ εₖ|, σ = noise · (max x − min x) of each sample      Smilkov et al. 2017"""
    if not (isinstance(n, int) and n >= 1 and noise >= 0):
        raise ValueError(f"smooth_grad: needs n ≥ 1 and noise ≥ 0, got {n!r} and {noise!r}")
    if classes is None:
        with evaluating(model):  # the class of x, not of each noisy copy
            classes = class_outputs("smooth_grad", model(x), task).argmax(dim=1)
    a, rng = to_numpy(x.array), rng_of(generator)
    axes = tuple(range(1, a.ndim))
    σ = noise * (a.max(axis=axes, keepdims=True) - a.min(axis=axes, keepdims=True))
    noisy = (Tensor((a + σ * rng.standard_normal(a.shape)).astype(a.dtype)) for _ in range(n))
    return mean_magnitude(np.stack([input_gradient("smooth_grad", model, one, classes, task) for one in noisy]))


def grad_cam(model: nn.Module, x: Tensor, layer: str, classes: Classes = None, *, task: str | None = None) -> Array:
    """M = ReLU(Σₖ wₖ Aₖ), wₖ the mean of ∂y_c/∂Aₖ over all places, brought to the size of the pictures      Selvaraju et al. 2017

    A (N, K, H, W) is what the layer of this dotted name gives; pictures (N, C, H′, W′) → maps (N, H′, W′), bilinear in between.
    """
    if not isinstance(x, Tensor) or x.dtype.kind != "f" or x.ndim != 4:
        raise ValueError(f"grad_cam: x must be pictures (N, C, H, W), got {getattr(x, 'shape', type(x).__name__)}")
    with evaluating(model), enable_grad(), capturing(model, layer) as outputs:
        y = scores("grad_cam", model(Tensor(x.array, requires_grad=True)), classes, task)
        A = outputs.get(layer)
        if not isinstance(A, Tensor) or A.ndim != 4:
            raise ValueError(f"grad_cam: layer {layer!r} must give (N, K, H, W), it gave {getattr(A, 'shape', A)}")
        (G,) = grad(y.sum(), A, allow_unused=True)
    if G is None:
        raise ValueError(f"grad_cam: the output does not depend on layer {layer!r}")
    maps = np.stack([class_map(a, g) for a, g in zip(to_numpy(A.array), to_numpy(G.array), strict=True)])
    return resized(maps, x.shape[2], x.shape[3])


@equation(
    "tl.grad_cam",
    r"M_{uv} = \max(\sum_{k=1}^{K} w_k A_{kuv}, 0), \quad w_k = \frac{1}{H W} \sum_{u=1}^{H} \sum_{v=1}^{W} G_{kuv}",
    shapes="A (K, H, W), G (K, H, W) → M (H, W)",
    source="Selvaraju et al. 2017",
    conventions="G is ∂y_c/∂A, y_c the output of class c before softmax; of a linear layer after the mean over all places, wₖ is its "
    "weight over H W: CAM, Zhou et al. 2016",
)
def class_map(A: Array, G: Array) -> Array:
    """Mᵤᵥ = max(Σₖ wₖ Aₖᵤᵥ, 0);  wₖ = 1/(H W) Σᵤ Σᵥ Gₖᵤᵥ      (K, H, W), (K, H, W) → (H, W)"""
    w = G.mean(axis=(1, 2))
    return np.maximum(np.tensordot(w, A, 1), 0)


def resized(maps: Array, H: int, W: int) -> Array:
    """Bilinear, pixels being squares (`align_corners=False`)      (N, h, w) → (N, H, W)"""
    across, down = between(maps.shape[2], W), between(maps.shape[1], H)
    return np.einsum("Hh,nhw,Ww->nHW", down, maps, across).astype(maps.dtype)


def between(n: int, N: int) -> Array:
    """The share of each of n pixels in each of N that cover the same length      (N, n)"""
    centres = (np.arange(N) + 0.5) * n / N - 0.5
    return np.stack([np.interp(centres, np.arange(n), one) for one in np.eye(n)], axis=1)
