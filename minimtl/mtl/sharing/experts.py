"""Mixtures of experts: networks side by side, of whose features each task's gate takes its share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.mtl.sharing.base import Sharing, copies
from minimtl.ops import softmax, stack

Expert = Callable[[], nn.Module]


@equation(
    "mtl.mmoe",
    r"z_{nj} = \sum_{i=1}^{E} \frac{e^{a_{ni}}}{\sum_{h=1}^{E} e^{a_{nh}}} o_{inj}",
    symbols={"E": "o"},
    source="Ma et al. 2018",
    conventions="a = W x is the gate of a task, oᵢ what expert i gives; features of more axes alike",
)
def mixture(a: Tensor, o: Sequence[Tensor]) -> Tensor:
    """zₙⱼ = Σᵢ e^{aₙᵢ} / (Σₕ e^{aₙₕ}) · oᵢₙⱼ      (N, E), E times (N, …) → (N, …)"""
    outputs = stack(list(o), dim=1)  # (N, E, …)
    g = softmax(a, dim=1)
    return (g.reshape(g.shape + (1,) * (outputs.ndim - 2)) * outputs).sum(dim=1)


class Level(nn.Module):
    """Experts of each task and shared ones, a gate for each task over its own and the shared, and, unless it is the last level, a
    gate over all, whose mixture the shared experts of the next level take."""

    def __init__(self, expert: Expert, shared: int, own: int, tasks: Sequence[str], in_features: int, last: bool) -> None:
        made = iter(copies("experts", expert, shared + own * len(tasks)))
        self.shared = nn.ModuleList(next(made) for _ in range(shared))
        self.own = nn.ModuleDict({k: nn.ModuleList(next(made) for _ in range(own)) for k in tasks})
        self.in_features = in_features
        self.gates = nn.ModuleDict({k: nn.Linear(in_features, own + shared, bias=False) for k in tasks})
        self.gate = None if last else nn.Linear(in_features, own * len(tasks) + shared, bias=False)

    @equation(
        "mtl.cgc",
        r"z_{ki} = \sum_{j=1}^{m} g_{kj} o_{kji} + \sum_{j=1}^{s} g_{k,m+j} c_{ji}",
        symbols={"m": "self", "s": "self", "g": "self", "o": "self", "c": "self"},
        source="Tang et al. 2020",
        conventions="oₖⱼ what task k's m experts give, cⱼ the s shared ones, gₖ the softmax of the task's gate",
        unseen=("xs", "x", "tasks"),
    )
    @equation(
        "mtl.ple",
        r"y_i = \sum_{k=1}^{K} \sum_{j=1}^{m} h_{m \cdot (k-1) + j} o_{kji} + \sum_{j=1}^{s} h_{m \cdot K + j} c_{ji}",
        symbols={"m": "self", "s": "self", "h": "self", "o": "self", "c": "self", "K": "self"},
        source="Tang et al. 2020",
        conventions="what the shared experts of the next level take; h is the softmax of the gate over the experts of all tasks",
    )
    def forward(self, xs: Mapping[str, Tensor], x: Tensor, tasks: Sequence[str]) -> tuple[dict[str, Tensor], Tensor | None]:
        """zₖᵢ = Σⱼ gₖⱼ oₖⱼᵢ + Σⱼ g[k, m + j] cⱼᵢ      {task: xₖ}, x for the shared experts → {task: zₖ}; unless last, also

        yᵢ = Σₖ Σⱼ h[m (k − 1) + j] oₖⱼᵢ + Σⱼ h[m K + j] cⱼᵢ      that the shared experts of the next level take
        """
        common = [expert(x) for expert in self.shared]
        needed = tasks if self.gate is None else list(self.own)
        own = {k: [expert(xs[k]) for expert in self.own[k]] for k in needed}  # type: ignore[attr-defined]
        z = {k: mixture(self.gates[k](flat(xs[k])), own[k] + common) for k in own}
        if self.gate is None:
            return z, None
        return z, mixture(self.gate(flat(x)), [o for k in own for o in own[k]] + common)


def flat(x: Tensor) -> Tensor:
    """(N, …) → (N, features)"""
    return x if x.ndim == 2 else x.flatten(1)


class PLE(Sharing):
    """zₖ after levels of experts, each task's own beside shared ones: progressive layered extraction; Tang et al. 2020

    levels: for each level a function that makes an expert; `in_features`: for each level how many numbers a sample has that enters it,
    which is what the gates see. On every level there are `own` experts for each task and `shared` ones.
    """

    def __init__(
        self,
        levels: Sequence[Expert],
        in_features: Sequence[int],
        heads: Mapping[str, nn.Module],
        shared: int = 2,
        own: int = 1,
    ) -> None:
        super().__init__(heads)
        name = type(self).__name__
        if not levels or len(levels) != len(in_features):
            raise ValueError(
                f"{name}: needs in_features for each of {len(levels)} levels, at least one, got {list(in_features)}"
            )
        if shared < 1 or own < 0:
            raise ValueError(f"{name}: needs at least one shared expert, got shared={shared}, own={own}")
        last, self.own = len(levels) - 1, own
        self.levels = nn.ModuleList(
            Level(expert, shared, own, list(heads), n, i == last) for i, (expert, n) in enumerate(zip(levels, in_features))
        )
        self.check_owners()

    def own_parts(self, task: str) -> Iterable[nn.Module]:
        """On the last level a task's experts and gate, and its gate before: what that mixes no other task takes. Without experts of
        its own nothing that its gates mix ever reaches another."""
        levels: list[Any] = list(self.levels)
        return (levels[-1].own[task], *(level.gates[task] for level in (levels[-2:] if self.own else levels)))

    def task_features(self, x: Any, tasks: Sequence[str]) -> dict[str, Any]:
        xs, common = dict.fromkeys(self.heads, x), x
        for i, level in enumerate(self.levels):
            seen, wanted = flat(common).shape[1], level.in_features  # type: ignore[attr-defined]
            if seen != wanted:
                raise ValueError(f"{type(self).__name__}: level {i} gets {seen} numbers a sample, in_features says {wanted}")
            xs, common = level(xs, common, tasks)
        return xs


class CGC(PLE):
    """One level of PLE: customised gate control; Tang et al. 2020"""

    def __init__(self, expert: Expert, in_features: int, heads: Mapping[str, nn.Module], shared: int = 2, own: int = 1) -> None:
        super().__init__([expert], [in_features], heads, shared, own)


class MMoE(CGC):
    """zₖ = Σᵢ softmax(Wₖ x)ᵢ oᵢ(x)      one level without experts of a task's own: multi-gate mixture of experts; Ma et al. 2018"""

    def __init__(self, expert: Expert, in_features: int, heads: Mapping[str, nn.Module], experts: int = 4) -> None:
        super().__init__(expert, in_features, heads, shared=experts, own=0)
