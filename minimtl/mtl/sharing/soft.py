"""Soft sharing: a network for each task, held together by a penalty, or stitched together layer by layer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.mtl.sharing.base import Sharing, copies
from minimtl.ops import eye, stack

Stages = Callable[[], Sequence[nn.Module]]


class SoftSharing(Sharing):
    """zₖ = φₖ(x)      a network of its own for each task; what they share is a penalty on their differences; D1 §2.3

    With `mtl.Penalty(mtl.l2_distance, …, on=SoftSharing.corresponding)` as a penalty of the Trainer, or `mtl.trace_norm`. No loss
    reaches another task's network, so there is no φ, and aggregations of gradients have nothing to mix.
    """

    def __init__(self, networks: Mapping[str, nn.Module], heads: Mapping[str, nn.Module]) -> None:
        super().__init__(heads)
        if not isinstance(networks, Mapping) or set(networks) != set(heads):
            raise ValueError(f"SoftSharing: needs a network for each of {list(heads)}, got {list(networks)}")
        self.networks = nn.ModuleDict(networks)
        self.check_owners()

    def own_parts(self, task: str) -> Iterable[nn.Module]:
        return (self.networks[task],)

    def task_features(self, x: Any, tasks: Sequence[str]) -> dict[str, Any]:
        return {k: self.networks[k](x) for k in tasks}

    def corresponding(self) -> dict[str, list[Tensor]]:
        """{task: the parameters of its network}, in one order: what a penalty across tasks compares."""
        return {k: list(network.parameters()) for k, network in self.networks.items()}


class CrossStitch(Sharing):
    """x̃ₜ = Σₛ Aₜₛ xₛ after every stage: columns of stages, one for each task, whose features are mixed; Misra et al. 2016

    `stages()` makes the stages of a column, anew for each task. A is learnt, for each stage one; at first a feature comes to nine
    tenths from its own column. Every loss reaches every column, so all of them are φ.
    """

    def __init__(self, stages: Stages, heads: Mapping[str, nn.Module]) -> None:
        super().__init__(heads)
        columns = dict(zip(heads, map(list, copies("CrossStitch", stages, len(heads))), strict=True))
        depth, T = len(next(iter(columns.values()))), len(columns)
        if depth == 0 or any(len(column) != depth for column in columns.values()):
            raise ValueError(f"CrossStitch: stages() must make the same number of stages, at least one, got {depth}")
        self.columns = nn.ModuleDict({k: nn.ModuleList(column) for k, column in columns.items()})
        A = eye(T) * (0.9 - 0.1 / (T - 1)) + 0.1 / (T - 1) if T > 1 else eye(1)
        self.stitches = nn.Parameter(stack([A] * depth))  # (stages, T, T)
        self.check_owners()

    def task_features(self, x: Any, tasks: Sequence[str]) -> dict[str, Any]:
        columns: list[Any] = list(self.columns.values())
        xs = [x] * len(columns)
        for i, A in enumerate(self.stitches.split(1)):
            xs = stitched(A[0], [column[i](xₜ) for column, xₜ in zip(columns, xs, strict=True)])
        return {k: z for k, z in zip(self.columns, xs, strict=True) if k in tasks}


@equation(
    "mtl.cross_stitch",
    r"y_{ti} = \sum_{s=1}^{T} A_{ts} x_{si}",
    symbols={"x": "xs"},
    shapes="A (T, T)",
    source="Misra et al. 2016",
    conventions="xₛ are the features of column s, after a stage",
)
def stitched(A: Tensor, xs: Sequence[Tensor]) -> list[Tensor]:
    """yₜᵢ = Σₛ Aₜₛ xₛᵢ      (T, T), T features → T features"""
    x = stack(list(xs))  # (T, N, …)
    mixed = (A @ x.flatten(1)).reshape(x.shape)  # (T, T) @ (T, N·…) → (T, N, …)
    return [mixed[t] for t in range(len(xs))]
