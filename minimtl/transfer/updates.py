"""Small shapes of θ′: matrices of low rank beside weights, and bottlenecks behind layers. For `transfer.Delta`."""

import math
from collections.abc import Callable
from typing import Any

import minimtl.nn.functional as F
from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.nn import init
from minimtl.ops import cat, relu, zeros
from minimtl.random import Generator


@equation(
    "tl.lora",
    r"D_{ij} = \frac{\alpha}{r^p} \sum_{k=1}^{r} B_{ik} A_{kj}",
    shapes="A (r, n), B (m, r) → D (m, n)",
    source="Hu et al. 2022; Kalajdzievski 2023",
    conventions="θ′ of a weight (m, n), a convolution's with its n = C KH KW; p is 1, or ½ where rank_stabilised",
)
def low_rank(A: Tensor, B: Tensor, α: float, p: float) -> Tensor:
    """Dᵢⱼ = α/rᵖ Σₖ Bᵢₖ Aₖⱼ      (r, n), (m, r) → (m, n), of rank r at most"""
    return α / len(A.array) ** p * (B @ A)


@equation(
    "tl.lora.output",
    r"z_{ni} = y_{ni} + \frac{\alpha}{r^p} \sum_{k=1}^{r} B_{ik} \sum_{j=1}^{d} A_{kj} x_{nj}",
    shapes="x (N, d), y (N, m), A (r, d), B (m, r) → z (N, m)",
    source="Hu et al. 2022",
    conventions="y is the layer's own output; D is never made, and no gradient of the size of the weight",
)
def beside(x: Tensor, y: Tensor, A: Tensor, B: Tensor, α: float, p: float) -> Tensor:
    """zₙᵢ = yₙᵢ + α/rᵖ Σₖ Bᵢₖ Σⱼ Aₖⱼ xₙⱼ      (…, d), (…, m) → (…, m)"""
    return y + α / len(A.array) ** p * F.linear(F.linear(x, A), B)


class LoRA(nn.Module):
    """W + (α/r) B A of a Linear or Conv2d: A drawn as the layer's own weight is, B = 0; made by `lora`

    A convolution's A has its kernel, stride, padding, dilation and r channels, B is 1 × 1. In groups all share A, and B has its rows.
    """

    shown = ("alpha", "power")

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, r: int, alpha: float, power: float, dropout: float, generator: Generator | None
    ) -> None:
        w = layer.weight
        self.A, self.B = nn.Parameter(zeros(r, *w.shape[1:])), nn.Parameter(zeros(w.shape[0], r))
        init.kaiming_uniform_(self.A, a=math.sqrt(5), generator=generator)
        self.alpha, self.power, self.dropout = alpha, power, nn.Dropout(dropout, generator)

    def forward(self, layer: Any, x: Tensor, y: Tensor) -> Tensor:
        """The layer's output y for x, and what the update adds to it."""
        x = self.dropout(x)
        if isinstance(layer, nn.Linear):
            return beside(x, y, self.A, self.B, self.alpha, self.power)
        g, r = layer.groups, len(self.A.array)
        A = cat([self.A] * g) if g > 1 else self.A  # (g·r, C/g, KH, KW)
        z = F.conv2d(x, A, None, layer.stride, layer.padding, layer.dilation, g)
        return y + self.alpha / r**self.power * F.conv2d(z, self.B.reshape(*self.B.shape, 1, 1), groups=g)

    def difference(self) -> Tensor:
        """θ′ of the weight, in its shape."""
        return low_rank(self.A.flatten(1), self.B, self.alpha, self.power).reshape(self.B.shape[0], *self.A.shape[1:])


def lora(
    r: int = 8, alpha: float = 8.0, rank_stabilised: bool = False, dropout: float = 0.0, generator: Generator | None = None
) -> Callable[[Any], LoRA | None]:
    """θ′ = (α/r) B A of the weight of every Linear and Conv2d, or (α/√r) B A with rank_stabilised; Hu et al. 2022

    At first B = 0, and the output is the model's own. `dropout` is of what goes into A, in training. Of attention the layers inside are
    reached, as out_proj; in_proj_weight is a parameter without a layer, of which `full` makes an update.
    """
    if not isinstance(r, int) or r < 1:
        raise ValueError(f"lora: r must be an integer ≥ 1, got {r!r}")
    if not (math.isfinite(alpha) and alpha > 0 and 0 <= dropout < 1):
        raise ValueError(f"lora: needs alpha > 0 and dropout in [0, 1), got {alpha} and {dropout}")
    power = 0.5 if rank_stabilised else 1.0
    return lambda part: LoRA(part, r, alpha, power, dropout, generator) if isinstance(part, nn.Linear | nn.Conv2d) else None


@equation(
    "tl.adapter",
    r"y_{ni} = h_{ni} + \sum_{j=1}^{m} U_{ij} \sigma(\sum_{k=1}^{d} D_{jk} h_{nk} + a_j) + b_i",
    shapes="h (N, d), D (m, d), a (m), U (d, m), b (d) → y (N, d)",
    source="Houlsby et al. 2019",
    conventions="h is what a part gives, D, a the layer down, U, b the layer up",
)
def bottleneck(h: Tensor, D: Tensor, a: Tensor, U: Tensor, b: Tensor, σ: Callable[[Tensor], Tensor]) -> Tensor:
    """yₙᵢ = hₙᵢ + Σⱼ Uᵢⱼ σ(Σₖ Dⱼₖ hₙₖ + aⱼ) + bᵢ      (…, d) → (…, d)"""
    return h + F.linear(σ(F.linear(h, D, a)), U, b)


class Adapter(nn.Module):
    """h + U σ(D h + a) + b behind a part that gives h; U = 0 and b = 0 at first; made by `adapter`"""

    shown = ("dim",)

    def __init__(self, features: int, width: int, activation: Callable[[Tensor], Tensor], dim: int) -> None:
        self.down, self.up = nn.Linear(features, width), nn.Linear(width, features)
        self.up.weight.data, self.up.bias = zeros(features, width), nn.Parameter(zeros(features))
        self.activation, self.dim = activation, dim

    def forward(self, part: nn.Module, x: Any, y: Any) -> Tensor:
        """What stands for y, the output of the part."""
        d = self.down.in_features
        if not isinstance(y, Tensor) or y.ndim <= max(self.dim, -self.dim - 1) or y.shape[self.dim] != d:
            came = y.shape if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(f"adapter: needs {d} features on axis {self.dim} of what {type(part).__name__} gives, got {came}")
        h = y.transpose(self.dim, -1)
        z = bottleneck(h, self.down.weight, self.down.bias, self.up.weight, self.up.bias, self.activation)  # type: ignore[arg-type]
        return z.transpose(self.dim, -1)


def adapter(
    features: int, width: int = 8, activation: Callable[[Tensor], Tensor] = relu, dim: int = -1
) -> Callable[[Any], Adapter | None]:
    """h + U σ(D h + a) + b behind a part that gives h of so many `features` on axis `dim`, through a `width`; Houlsby et al. 2019

    Of images (N, C, H, W) dim is 1. At first U = 0, and the output is the model's own. It cannot be merged.
    """
    if not all(isinstance(n, int) and n >= 1 for n in (features, width)):
        raise ValueError(f"adapter: features and width must be integers ≥ 1, got {features!r} and {width!r}")
    return lambda part: Adapter(features, width, activation, dim) if isinstance(part, nn.Module) else None
