"""Operations on images (N, C, H, W): convolution, pooling, upsampling. They check their arguments; the kernels compute."""

import math
from collections.abc import Sequence

from minimtl import kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.kernels.shared import Result
from minimtl.ops import check

Pair = int | Sequence[int]


def pair(name: str, what: str, value: Pair, least: int) -> tuple[int, int]:
    """value as (vertical, horizontal), both integers ≥ least."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(check.is_integer(n) and n >= least for n in both):
        raise ValueError(f"{name}: {what} must be one integer or two, each ≥ {least}, got {value!r}")
    return both


def images(name: str, x: Array) -> None:
    """x is a batch of images."""
    if x.ndim != 4:
        raise ValueError(f"{name}: input must be images (N, C, H, W), got {x.shape}")


def fits(name: str, x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
    """At least one window lies on the padded image."""
    for n, k, p in zip(x.shape[2:], kernel, padding, strict=True):
        if k > n + 2 * p:
            raise ValueError(f"{name}: a window of {kernel} is larger than the image {x.shape[2:]} padded by {padding}")


@differentiable
def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Result:
    """y[n,f,p,q] = Σ_{c,i,j} x[n,c,p·SH+i,q·SW+j] w[f,c,i,j] + b[f]: see `kernels.conv2d`.

    (N, C, H, W), (F, C/groups, KH, KW), (F) → (N, F, OH, OW).  padding "valid" is 0, "same" keeps the size at stride 1.
    """
    images("conv2d", input)
    check.one_dtype("conv2d", input, weight, bias)
    if weight.ndim != 4:
        raise ValueError(f"conv2d: weight must be (F, C/groups, KH, KW), got {weight.shape}")
    (F, C, KH, KW), step, spread = (
        weight.shape,
        pair("conv2d", "stride", stride, 1),
        pair("conv2d", "dilation", dilation, 1),
    )
    divides("conv2d", groups, input.shape[1], F)
    if C * groups != input.shape[1]:
        raise ValueError(
            f"conv2d: weight {weight.shape} wants {C * groups} input channels, x {input.shape} has {input.shape[1]}"
        )
    reach = (spread[0] * (KH - 1) + 1, spread[1] * (KW - 1) + 1)
    if isinstance(padding, str):
        frame = named_padding(padding, reach, step)
    else:
        frame = pair("conv2d", "padding", padding, 0)
    if KH == 0 or KW == 0:
        raise ValueError(f"conv2d: weight {weight.shape} has an empty kernel")
    has_bias("conv2d", bias, F)
    fits("conv2d", input, reach, step, frame)
    return kernels.conv2d(input, weight, bias, step, frame, spread, groups)


def named_padding(padding: str, reach: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    """The frame that "valid" or "same" stands for."""
    if padding == "valid":
        return 0, 0
    if padding != "same" or stride != (1, 1) or reach[0] % 2 == 0 or reach[1] % 2 == 0:
        raise ValueError(f"conv2d: padding must be numbers, 'valid', or 'same' with stride 1 and odd kernels, got {padding!r}")
    return reach[0] // 2, reach[1] // 2


def divides(name: str, groups: int, C: int, F: int) -> None:
    """groups divides the channels on both sides."""
    if not check.is_integer(groups) or groups < 1 or C % groups or F % groups:
        raise ValueError(f"{name}: groups must divide {C} input and {F} output channels, got {groups!r}")


def has_bias(name: str, bias: Array | None, F: int) -> None:
    """The bias, where there is one, has an entry for each output channel."""
    if bias is not None and bias.shape != (F,):
        raise ValueError(f"{name}: bias must have shape ({F},), got {bias.shape}")


@differentiable
def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Result:
    """The adjoint of conv2d: what carries its gradient back to its input, as a layer; see `kernels.conv_transpose2d`.

    (N, C, H, W), (C, F/groups, KH, KW), (F) → (N, F, OH, OW),  OH = (H − 1) SH − 2 PH + DH (KH − 1) + output_padding + 1.
    """
    name = "conv_transpose2d"
    images(name, input)
    check.one_dtype(name, input, weight, bias)
    if 0 in input.shape[2:]:
        raise ValueError(f"{name}: images of size {input.shape[2:]} have no pixels")
    if weight.ndim != 4 or 0 in weight.shape[2:]:
        raise ValueError(f"{name}: weight must be (C, F/groups, KH, KW) with a kernel that is not empty, got {weight.shape}")
    step, frame, spread = (
        pair(name, "stride", stride, 1),
        pair(name, "padding", padding, 0),
        pair(name, "dilation", dilation, 1),
    )
    extra, F = pair(name, "output_padding", output_padding, 0), weight.shape[1] * (groups if check.is_integer(groups) else 1)
    divides(name, groups, input.shape[1], F)
    if weight.shape[0] != input.shape[1]:
        raise ValueError(
            f"{name}: weight {weight.shape} wants {weight.shape[0]} input channels, x {input.shape} has {input.shape[1]}"
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, step, spread, strict=True)):
        raise ValueError(f"{name}: output_padding {extra} must be smaller than stride {step} or dilation {spread}")
    has_bias(name, bias, F)
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(input.shape[2:], step, frame, spread, weight.shape[2:], extra, strict=True)
    ]
    if min(size) < 1:
        raise ValueError(f"{name}: the result of x {input.shape} and weight {weight.shape} would have the size {tuple(size)}")
    return kernels.conv_transpose2d(input, weight, bias, step, frame, extra, groups, spread)


def windows(name: str, x: Array, kernel_size: Pair, stride: Pair | None, padding: Pair) -> list[tuple[int, int]]:
    """Kernel, stride (the kernel's size unless given) and padding of a pooling, checked against the images x."""
    images(name, x)
    check.floating(name, x)
    kernel = pair(name, "kernel_size", kernel_size, 1)
    step = kernel if stride is None else pair(name, "stride", stride, 1)
    frame = pair(name, "padding", padding, 0)
    if any(2 * p > k for p, k in zip(frame, kernel, strict=True)):
        raise ValueError(f"{name}: padding {frame} must be at most half of the kernel {kernel}")
    fits(name, x, kernel, step, frame)
    return [kernel, step, frame]


@differentiable
def max_pool2d(input: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Result:
    """The largest entry of each window: see `kernels.max_pool2d`."""
    return kernels.max_pool2d(input, *windows("max_pool2d", input, kernel_size, stride, padding))


@differentiable
def avg_pool2d(
    input: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Result:
    """The mean of each window: see `kernels.avg_pool2d`."""
    kernel, step, frame = windows("avg_pool2d", input, kernel_size, stride, padding)
    return kernels.avg_pool2d(input, kernel, step, frame, count_include_pad)


@differentiable
def adaptive_avg_pool2d(input: Array, output_size: Pair) -> Result:
    """The means of OH × OW windows that cover the image, 1 for the global mean: see `kernels.adaptive_avg_pool2d`."""
    images("adaptive_avg_pool2d", input)
    check.floating("adaptive_avg_pool2d", input)
    if 0 in input.shape[2:]:
        raise ValueError(f"adaptive_avg_pool2d: images of size {input.shape[2:]} have no pixels to average")
    return kernels.adaptive_avg_pool2d(input, pair("adaptive_avg_pool2d", "output_size", output_size, 1))


@differentiable
def upsample_nearest2d(input: Array, size: tuple[int, int]) -> Result:
    """y[n,c,p,q] = x[n, c, ⌊p H/OH⌋, ⌊q W/OW⌋]: see `kernels.upsample_nearest2d`."""
    return kernels.upsample_nearest2d(input, size)


def interpolate(
    input: Tensor, size: Pair | None = None, scale_factor: float | Sequence[float] | None = None, mode: str = "nearest"
) -> Tensor:
    """Images resized to `size`, or by `scale_factor`, each pixel taking the nearest above and to the left of it.

    Which pixel that is follows from the two sizes alone, as in PyTorch with `recompute_scale_factor=True`.
    """
    check.tensor("interpolate", "input", input)
    images("interpolate", input)
    if mode != "nearest":
        raise ValueError(f"interpolate: mode must be 'nearest', got {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: needs either size or scale_factor")
    if scale_factor is not None:
        factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
        if len(factors) != 2 or not all(isinstance(f, (int, float)) and 0 < f < math.inf for f in factors):
            raise ValueError(f"interpolate: scale_factor must be one positive number or two, got {scale_factor!r}")
        size = [int(n * f) for n, f in zip(input.shape[2:], factors, strict=True)]
    if 0 in input.shape[2:]:
        raise ValueError(f"interpolate: images of size {input.shape[2:]} have no pixels to repeat")
    return upsample_nearest2d(input, pair("interpolate", "size", size, 1))  # type: ignore[arg-type]
