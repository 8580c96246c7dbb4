"""Data, gradients and metrics: what is done to images, to gradients before a step, and numbers that tell how good outputs are."""

from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data.transforms import Normalize, ToTensor
from minimtl.equations.checking import Drawn, Values, evaluated
from minimtl.equations.draw import Draw
from minimtl.nn import Parameter
from minimtl.nn.utils import clip_grad_norm_, clip_grad_value_
from minimtl.training import metrics

SINGLE = 1e-6  # where the engine computes with float32


@evaluated(
    "data.to_tensor",
    wrong=[("255", "256"), ("x_{n,h,w,c}", "x_{nwhc}"), (r"\frac{x_{n,h,w,c}}{255}", "x_{n,h,w,c}")],
    tolerance=SINGLE,
)
def to_tensor(d: Draw) -> Drawn:
    """Colour images and grey ones, which have one channel, and are not 3 wide: that would be colour."""
    colour = d.of(True, False)
    x = d.integers(0, 255, (d.size(), d.size(), d.of(1, 2, 4), 3 if colour else 1)).astype(np.uint8)
    return {"x": x.astype(int)}, ToTensor()(x if colour else x[..., 0]).array


@evaluated(
    "data.normalize", wrong=[(r"\sigma_c", r"\sigma_c^2"), (r"x_{n,c,h,w} - \mu_c", r"x_{n,c,h,w}"), (r"\mu_c", r"\mu_n")]
)
def normalize(d: Draw) -> Drawn:
    """A mean and a deviation for each channel, or the same for all."""
    x = d.array(d.size(), d.size(), d.size(), d.size())
    channels = d.of(1, x.shape[1])
    mean, std = d.array(channels), d.positive(channels)
    every = np.ones(x.shape[1])
    return {"x": x, "μ": mean * every, "σ": std * every}, Normalize(mean, std)(Tensor(x)).array


def with_gradients(d: Draw) -> tuple[list[Parameter], Values]:
    """Parameters, one of them without a gradient, and all gradients in a row."""
    params = [Parameter(Tensor(d.array(d.size(), d.size()))) for _ in range(d.size())]
    for p in params:
        p.grad = Tensor(d.array(*p.shape))
    return [*params, Parameter(Tensor([1.0]))], {"g": gradients(params)}


def gradients(params: list[Parameter]) -> Array:
    """All gradients in a row."""
    return np.concatenate([p.grad.array.ravel() for p in params if p.grad is not None])


def clipped(d: Draw) -> tuple[Values, Any, Array]:
    """The letters, the norm and the gradients after they have been clipped by it."""
    params, values = with_gradients(d)
    c, p = d.number(0, 4), d.of(1.0, 2.0, 3.0)
    total = clip_grad_norm_(params, c, p)
    return {**values, "c": c, "p": p}, total.array, gradients(params)


@evaluated(
    "nn.clip_grad_norm",
    wrong=[
        (r"\min(1, \frac{c}{N + 10^{-6}})", r"\frac{c}{N + 10^{-6}}"),
        ("N + 10^{-6}", "N"),
        (r"\lVert g \rVert_p", r"\lVert g \rVert"),
        (r"\lVert g \rVert_p", "|g_1|"),
    ],
)
def clip_grad_norm(d: Draw) -> Drawn:
    """Gradients that are too long, and some that are not."""
    values, _, result = clipped(d)
    return values, result


@evaluated(
    "nn.clip_grad_norm.total",
    wrong=[("^{1/p}", ""), ("|g_i|^p", "|g_i|"), (r"\sum_{i=1}^{n} |g_i|^p", r"\max_{1 \le i \le n} |g_i|^p")],
)
def total_norm(d: Draw) -> Drawn:
    """All gradients as one vector."""
    values, total, _ = clipped(d)
    return values, total


@evaluated("nn.clip_grad_value", wrong=[(r"\min(\max(g_i, -c), c)", r"\min(g_i, c)"), (r"\max(g_i, -c)", r"g_i \, c")])
def clip_grad_value(d: Draw) -> Drawn:
    """Some beyond the limit."""
    params, values = with_gradients(d)
    c = d.number(0, 2)
    clip_grad_value_(params, c)
    return {**values, "c": c}, gradients(params)


@evaluated(
    "metrics.confusion",
    wrong=[
        ("[t_n = a]", "[t_n = b]"),
        (r"\max_{0 \le c < C}", r"\min_{0 \le c < C}"),
        (r"= \max_{0 \le c < C} x_{n,c}", r"> 0"),
    ],
)
def confusion(d: Draw) -> Drawn:
    """Outputs of which one is the largest."""
    x = d.distinct(d.size(), d.size(2, 4))
    t = d.indices(x.shape[1], len(x))
    return {"x": x, "t": t}, metrics.confusion(Tensor(x), Tensor(t))


def counts(d: Draw) -> Any:
    """How often each class was taken for each."""
    C = d.size(2)
    return d.integers(1, 9, (C, C)).astype(float)


@evaluated(
    "metrics.accuracy",
    wrong=[
        (r"\sum_{c=1}^{C} M_{cc}", r"\sum_{c=1}^{C} M_{c,1}"),
        (r"}{\sum_{a=1}^{C} \sum_{b=1}^{C}", r"}{\sum_{b=1}^{C} \sum_{a=1}^{C} C"),
    ],
)
def accuracy(d: Draw) -> Drawn:
    """Of a confusion matrix."""
    M = counts(d)
    return {"M": M}, metrics.accuracy(M)


@evaluated("metrics.f1", wrong=[(r"\frac{1}{C} ", ""), ("{2 M_{cc}}", "{M_{cc}}"), ("M_{jc}", "M_{cj}")])
def f1_macro(d: Draw) -> Drawn:
    """Of a confusion matrix."""
    M = counts(d)
    return {"M": M}, metrics.f1_macro(M)


@evaluated("metrics.f1_micro", wrong=[("{2 ", "{"), ("M_{jc}", "M_{cc}")])
def f1_micro(d: Draw) -> Drawn:
    """Of a confusion matrix."""
    M = counts(d)
    return {"M": M}, metrics.f1_micro(M)


@evaluated("metrics.iou", wrong=[(r"\frac{1}{C} ", ""), (" - M_{cc}", ""), ("M_{jc}", "M_{cj}")])
def iou(d: Draw) -> Drawn:
    """Of a confusion matrix."""
    M = counts(d)
    return {"M": M}, metrics.iou(M)


@evaluated("metrics.r2", wrong=[("1 - \\frac", "\\frac"), (r"(y_i - \bar y)^2", "y_i^2"), (r"\frac{1}{n} \sum", r"\sum")])
def r2(d: Draw) -> Drawn:
    """Targets that differ."""
    ŷ, y = d.array(4), d.distinct(4) + d.number(0.5, 1)
    return {"ŷ": ŷ, "y": y}, metrics.METRICS["r2"](Tensor(ŷ), Tensor(y))


def pair(d: Draw) -> tuple[Values, tuple[Tensor, Tensor]]:
    """Outputs and targets of the same shape, and in a row."""
    shape = [d.size() for _ in range(d.integer(0, 3))]
    output, target = d.array(*shape), d.array(*shape)
    return {"ŷ": output.ravel(), "y": target.ravel()}, (Tensor(output), Tensor(target))


@evaluated("metrics.mse", wrong=[(r"\frac{1}{n} ", ""), (r"\frac{1}{n} ", r"\frac{1}{2 n} "), ("y_i)^2", "y_i)")])
def mse(d: Draw) -> Drawn:
    """Any shape."""
    values, tensors = pair(d)
    return values, metrics.METRICS["mse"](*tensors)


@evaluated("metrics.mae", wrong=[(r"\frac{1}{n} ", ""), (r"|\hat y_i - y_i|", r"(\hat y_i - y_i)")])
def mae(d: Draw) -> Drawn:
    """Any shape."""
    values, tensors = pair(d)
    return values, metrics.METRICS["mae"](*tensors)
