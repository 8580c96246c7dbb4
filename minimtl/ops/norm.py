"""Normalisation and dropout: operations that check their arguments and call the kernels."""

from collections.abc import Sequence

import numpy as np

from minimtl import kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array, device_of, to_device
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.kernels.shared import Result
from minimtl.ops import check
from minimtl.random import Generator, rng_of


def affine(name: str, shape: tuple[int, ...], **parameters: Array | None) -> None:
    """The parameters, where given, are tensors of the shape."""
    for what, p in parameters.items():
        if p is not None and not hasattr(p, "shape"):
            raise TypeError(f"{name}: {what} must be a Tensor, got {type(p).__name__}")
        if p is not None and p.shape != shape:
            raise ValueError(f"{name}: {what} must have shape {shape}, got {p.shape}")


@differentiable
def batch_norm_train(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Result:
    """Normalisation by the statistics of the batch, which are returned too: see `kernels.batch_norm`."""
    return kernels.batch_norm(x, weight, bias, eps)


@differentiable
def batch_norm_eval(x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float) -> Result:
    """Normalisation by given statistics: see `kernels.batch_norm_eval`."""
    return kernels.batch_norm_eval(x, mean, var, weight, bias, eps)


@equation(
    "nn.running_statistics",
    r"r \leftarrow (1 - m) \, r + m \mu, \quad v \leftarrow (1 - m) \, v + m \frac{n}{n - 1} \sigma^2",
    source="Ioffe & Szegedy 2015",
    conventions="μ, σ²: mean and variance of the n numbers of a channel in the batch; m weights the new, v averages unbiased estimates",
    symbols={"r": "running_mean", "v": "running_var", "m": "momentum", "μ": "input", "σ2": "input", "n": "input"},
    unseen=("weight", "bias", "training", "eps"),
)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x − μ) / √(σ² + ε) · w + b per channel      (N, C, …) → (N, C, …)

    In training μ, σ² are those of the batch, and the running ones move, m the momentum and n the numbers in a channel:
    r ← (1 − m) r + m μ;  v ← (1 − m) v + m n / (n − 1) · σ²
    Otherwise they are the running ones.
    """
    check.tensor("batch_norm", "input", input)
    if input.ndim < 2:
        raise ValueError(f"batch_norm: input must be (N, C, …), got {input.shape}")
    check.floating("batch_norm", input)
    C, n = input.shape[1], input.array.size // max(input.shape[1], 1)
    affine("batch_norm", (C,), running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: evaluation needs running_mean and running_var")
        return batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
    if n == 1:
        raise ValueError(f"batch_norm: training needs more than one value per channel, input is {input.shape}")
    y, mean, var = batch_norm_train(input, weight, bias, eps)
    if n == 0:  # an empty batch says nothing about the data
        return y
    with no_grad():
        if running_mean is not None:
            running_mean.mul_(1 - momentum).add_(mean * momentum)
        if running_var is not None:
            running_var.mul_(1 - momentum).add_(var * (momentum * n / (n - 1)))
    return y


@differentiable
def layer_norm(
    input: Array,
    normalized_shape: Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Result:
    """y = (x − μ) / √(σ² + ε) · w + b, over the last axes, whose shape is normalized_shape: see `kernels.layer_norm`."""
    check.floating("layer_norm", input)
    shape = check.shape_of("layer_norm", normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: the last axes of the input {input.shape} must be {shape}")
    affine("layer_norm", shape, weight=weight, bias=bias)
    return kernels.layer_norm(input, len(shape), weight, bias, eps)


@differentiable
def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Result:
    """y = (x − μ) / √(σ² + ε) · w + b, over each of num_groups groups of channels: see `kernels.group_norm`."""
    check.floating("group_norm", input)
    if input.ndim < 2 or not check.is_integer(num_groups) or num_groups < 1 or input.shape[1] % num_groups:
        raise ValueError(f"group_norm: num_groups {num_groups} must divide the channels of the input {input.shape}")
    affine("group_norm", input.shape[1:2], weight=weight, bias=bias)
    return kernels.group_norm(input, num_groups, weight, bias, eps)


@equation(
    "nn.dropout.vjp",
    r"\frac{\partial L}{\partial x_i} = \frac{G_i [u_i \ge p]}{1 - p}, \quad u_i \sim U(0, 1)",
    symbols={"u": "mask", "p": "mask"},
    conventions="`mask` is [uᵢ ≥ p], `scale` 1 / (1 − p)",
    unseen=("x", "scale"),
)
@differentiable
def masked(x: Array, mask: Array, scale: float) -> Result:
    """yᵢ = xᵢ mᵢ s      ∂L/∂xᵢ = Gᵢ mᵢ s      m: a mask, and s: a scale, of the caller; of dropout ∂L/∂xᵢ = Gᵢ [uᵢ ≥ p] / (1 − p)"""
    return x * mask * scale, lambda G: G * mask * scale


@equation(
    "nn.dropout",
    r"y_i = \frac{x_i [u_i \ge p]}{1 - p}, \quad u_i \sim U(0, 1)",
    shapes="x (n) → y (n)",
    source="Srivastava et al. 2014, who scale at test time instead",
    conventions="in training; evaluation is y = x. At p = 1 all is 0",
    symbols={"x": "input", "u": "generator"},
    unseen=("training",),
)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """yᵢ = xᵢ [uᵢ ≥ p] / (1 − p), uᵢ from U(0, 1): each entry is 0 with probability p; x itself in evaluation."""
    check.tensor("dropout", "input", input)
    check.floating("dropout", input.array)
    check.number("dropout", "p", p)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must lie in [0, 1], got {p}")
    if not training or p == 0:
        return input
    mask = np.asarray(rng_of(generator).random(input.shape, dtype=np.float32) >= p)
    return masked(input, to_device(mask, device_of(input.array)), 1 / (1 - p) if p < 1 else 0.0)
