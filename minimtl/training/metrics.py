"""Metrics: how good outputs are, as one number per batch that averages over samples."""

from collections.abc import Callable

from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.nn.functional import l1_loss, mse_loss


@equation(
    "metrics.accuracy",
    r"y = \frac{1}{N} \sum_{n=0}^{N-1} [x_{n, t_n} = \max_{0 \le c < C} x_{n,c}]",
    symbols={"x": "output", "t": "target"},
    shapes="x (N, C), t (N) → y ()",
    conventions="where two outputs are the largest the first counts",
    base=0,
)
def accuracy(output: Tensor, target: Tensor) -> float:
    """The share of samples whose largest output is that of their class.      (N, C), (N) → [0, 1]

    y = 1/N Σₙ [x[n,tₙ] = max_c x[n,c]]
    """
    if output.ndim != 2 or output.shape[1] < 2 or target.shape != output.shape[:1]:
        raise ValueError(f"accuracy: needs outputs (N, C), C > 1, and classes (N), got {output.shape} and {target.shape}")
    return float((output.argmax(dim=1) == target).float().mean())


@equation(
    "metrics.mse",
    r"\mathrm{mse} = \frac{1}{n} \sum_{i=1}^{n} (\hat y_i - y_i)^2",
    symbols={"ŷ": "output", "y": "target"},
    shapes="ŷ (n), y (n)",
    conventions="i runs over all entries",
)
def mse(output: Tensor, target: Tensor) -> float:
    """mse = 1/n Σᵢ (ŷᵢ − yᵢ)²"""
    return float(mse_loss(output.detach(), target))


@equation(
    "metrics.mae",
    r"\mathrm{mae} = \frac{1}{n} \sum_{i=1}^{n} |\hat y_i - y_i|",
    symbols={"ŷ": "output", "y": "target"},
    shapes="ŷ (n), y (n)",
    conventions="i runs over all entries",
)
def mae(output: Tensor, target: Tensor) -> float:
    """mae = 1/n Σᵢ |ŷᵢ − yᵢ|"""
    return float(l1_loss(output.detach(), target))


METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {"accuracy": accuracy, "mse": mse, "mae": mae}
