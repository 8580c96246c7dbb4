"""Layers: modules that hold what an operation needs besides its input, with PyTorch's names, defaults and initial numbers."""

import math
from collections.abc import Sequence

import minimtl.nn.functional as F
from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.nn import init
from minimtl.nn.module import Module, Parameter
from minimtl.ops import check, flatten, ones, zeros
from minimtl.ops.image import Pair, pair
from minimtl.random import Generator


def positive(layer: Module, **sizes: int) -> None:
    """The sizes are integers ≥ 1."""
    for name, n in sizes.items():
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"{type(layer).__name__}: {name} must be an integer ≥ 1, got {n!r}")


class Identity(Module):
    """y = x"""

    @equation("nn.identity", r"y_i = x_i", shapes="x (n) → y (n)")
    @equation("nn.identity.vjp", r"\frac{\partial L}{\partial x_i} = g_i")
    def forward(self, x: Tensor) -> Tensor:
        """yᵢ = xᵢ      ∂L/∂xᵢ = gᵢ"""
        return x


class Flatten(Module):
    """The axes start_dim … end_dim as one: see `flatten`."""

    shown = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return flatten(x, self.start_dim, self.end_dim)


class Weighted(Module):
    """A layer with a weight and perhaps a bias, both drawn from U(−1/√fan_in, 1/√fan_in)."""

    weight: Parameter
    bias: Parameter | None

    @equation(
        "init.default",
        r"w_i = -a + 2 a u_i, \quad a = \frac{1}{\sqrt{\mathrm{fan}_{\mathrm{in}}}}, \quad u_i \sim U(0, 1)",
        symbols={"u": "init", "fanin": "shape"},
        source="PyTorch's Linear and Conv2d",
        conventions="i runs over the weights and then the biases, which are drawn alike",
        unseen=("outputs", "bias"),
    )
    def draw(self, shape: tuple[int, ...], outputs: int, bias: bool) -> None:
        """Make weight and bias, wᵢ = −a + 2 a uᵢ ~ U(−a, a), a = 1/√fan_in, which is kaiming_uniform_ with a slope of √5."""
        self.weight = Parameter(zeros(shape))
        self.bias = Parameter(zeros(outputs)) if bias else None
        bound = 1 / math.sqrt(init.fans(self.weight)[0])
        for p in (self.weight, self.bias):
            if p is not None:
                init.uniform_(p, -bound, bound)


class Linear(Weighted):
    """y = x wᵀ + b      (…, in_features) → (…, out_features)"""

    shown = ("in_features", "out_features")

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        positive(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.draw((out_features, in_features), out_features, bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Convolution(Weighted):
    """What convolutional layers hold: channels on both sides, in groups, and the geometry of the windows."""

    def hold(self, in_channels: int, out_channels: int, groups: int, padding: Pair | str, **geometry: Pair) -> None:
        """Check and keep the arguments; pairs of integers, ≥ 1 for kernel_size, stride and dilation, ≥ 0 for paddings."""
        name = type(self).__name__
        positive(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"{name}: groups {groups} must divide in_channels {in_channels} and out_channels {out_channels}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.padding = padding if isinstance(padding, str) else pair(name, "padding", padding, 0)
        for what, value in geometry.items():
            setattr(self, what, pair(name, what, value, 0 if what == "output_padding" else 1))


class Conv2d(Convolution):
    """Cross-correlation with F = out_channels filters of KH × KW: see `conv2d`.      (N, C, H, W) → (N, F, OH, OW)"""

    shown = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        self.hold(in_channels, out_channels, groups, padding, kernel_size=kernel_size, stride=stride, dilation=dilation)
        self.draw((out_channels, in_channels // groups, *self.kernel_size), out_channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(Convolution):
    """The adjoint of Conv2d as a layer: see `conv_transpose2d`.      (N, C, H, W) → (N, F, OH, OW)"""

    shown = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "dilation")
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    output_padding: tuple[int, int]
    padding: tuple[int, int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
    ) -> None:
        geometry = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "output_padding": output_padding}
        self.hold(in_channels, out_channels, groups, padding, **geometry)
        self.draw((in_channels, out_channels // groups, *self.kernel_size), out_channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class Pool(Module):
    """What pooling layers hold: windows of kernel_size, stride apart (side by side unless given), padding around."""

    shown = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        name = type(self).__name__
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair(name, "stride", stride, 1)
        self.padding = pair(name, "padding", padding, 0)


class MaxPool2d(Pool):
    """The largest entry of each window: see `max_pool2d`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(Pool):
    """The mean of each window: see `avg_pool2d`."""

    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.count_include_pad)


class AdaptiveAvgPool2d(Module):
    """The means of output_size windows that cover the image; 1 is the global mean: see `adaptive_avg_pool2d`."""

    shown = ("output_size",)

    def __init__(self, output_size: Pair) -> None:
        self.output_size = pair("AdaptiveAvgPool2d", "output_size", output_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)


class Upsample(Module):
    """Images resized by repeating pixels: see `interpolate`."""

    shown = ("size", "scale_factor", "mode")

    def __init__(
        self, size: Pair | None = None, scale_factor: float | Sequence[float] | None = None, mode: str = "nearest"
    ) -> None:
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size, self.scale_factor, self.mode)


class BatchNorm(Module):
    """y = (x − μ) / √(σ² + ε) · w + b per channel: see `batch_norm`. In evaluation μ and σ² are the running ones.

    In training mode the running statistics move even where weight and bias are frozen, as in PyTorch.
    """

    shown = ("num_features", "eps", "momentum", "affine", "track_running_stats")
    axes: tuple[int, ...] = ()
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        positive(self, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(ones(num_features)) if affine else None
        self.bias = Parameter(zeros(num_features)) if affine else None
        self.register_buffer("running_mean", zeros(num_features) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype="int64") if track_running_stats else None)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self.axes or x.shape[1] != self.num_features:
            raise ValueError(f"{type(self).__name__}: wants {self.num_features} channels on axis 1, x is {x.shape}")
        training = self.training or self.running_mean is None
        tracked, momentum = self.num_batches_tracked, self.momentum
        if momentum is None:  # the plain average of all batches so far
            momentum = 0.0 if tracked is None else 1 / (tracked.item() + 1)
        y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training, momentum, self.eps)
        if self.training and tracked is not None:
            tracked.add_(1)
        return y


class BatchNorm1d(BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    axes = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of images (N, C, H, W)."""

    axes = (4,)


class LayerNorm(Module):
    """y = (x − μ) / √(σ² + ε) · w + b over the last axes: see `layer_norm`."""

    shown = ("normalized_shape", "eps")

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = check.shape_of("LayerNorm", (normalized_shape,))
        if min(self.normalized_shape, default=0) < 1:
            raise ValueError(f"LayerNorm: normalized_shape must hold integers ≥ 1, got {self.normalized_shape}")
        self.eps = eps
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(Module):
    """y = (x − μ) / √(σ² + ε) · w + b over groups of channels: see `group_norm`."""

    shown = ("num_groups", "num_channels", "eps")

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        positive(self, num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_groups {num_groups} must divide num_channels {num_channels}")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(ones(num_channels)) if affine else None
        self.bias = Parameter(zeros(num_channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Dropout(Module):
    """y = x ∘ m / (1 − p) in training, m drawn anew each time; x in evaluation: see `dropout`."""

    shown = ("p",)

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must lie in [0, 1], got {p}")
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.generator)


class Embedding(Module):
    """y = weight[x]      (…) → (…, embedding_dim): one vector for each of num_embeddings items, drawn from N(0, 1)"""

    shown = ("num_embeddings", "embedding_dim")

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        positive(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(zeros(num_embeddings, embedding_dim))
        init.normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.embedding(x, self.weight)
