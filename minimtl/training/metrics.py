"""Metrics: how good outputs are, as one number per batch that averages over samples."""

from collections.abc import Callable

from minimtl.autograd import Tensor
from minimtl.nn.functional import l1_loss, mse_loss


def accuracy(output: Tensor, target: Tensor) -> float:
    """The share of samples whose largest output is that of their class.      (N, C), (N) → [0, 1]"""
    if output.ndim != 2 or output.shape[1] < 2 or target.shape != output.shape[:1]:
        raise ValueError(f"accuracy: needs outputs (N, C), C > 1, and classes (N), got {output.shape} and {target.shape}")
    return float((output.argmax(dim=1) == target).float().mean())


def mse(output: Tensor, target: Tensor) -> float:
    """1/n Σ (ŷ − y)²"""
    return float(mse_loss(output.detach(), target))


def mae(output: Tensor, target: Tensor) -> float:
    """1/n Σ |ŷ − y|"""
    return float(l1_loss(output.detach(), target))


METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {"accuracy": accuracy, "mse": mse, "mae": mae}
