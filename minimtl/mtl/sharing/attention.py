"""Task attention: one trunk, of whose features each task masks what it does not need."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.mtl.sharing.base import Sharing
from minimtl.ops import adaptive_avg_pool2d, cat, sigmoid


class Attention(nn.Module):
    """v = BN(W₂ relu(BN(W₁ [p; before]))): the scores of a mask, by 1 × 1 convolutions; a vector is an image of one pixel."""

    def __init__(self, in_channels: int, channels: int) -> None:
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, p: Tensor, before: Tensor | None) -> Tensor:
        """The features p (N, C, H, W) and, of the stage before, what the task made of it, at any size."""
        x = p if before is None else cat([p, adaptive_avg_pool2d(before, p.shape[2:])], dim=1)
        return self.layers(x)


@equation(
    "mtl.mtan",
    r"a_{ncij} = \frac{1}{1 + e^{-v_{ncij}}} p_{ncij}",
    shapes="p (N, C, H, W), v (N, C, H, W) → a (N, C, H, W)",
    source="Liu, Johns, Davison 2019",
    conventions="p are the features of the trunk, v the scores of a task's mask",
)
def attended(p: Tensor, v: Tensor) -> Tensor:
    """a[n,c,i,j] = 1 / (1 + e^{−v[n,c,i,j]}) · p[n,c,i,j]"""
    return sigmoid(v) * p


class MTAN(Sharing):
    """aₖ = σ(vₖ) ⊙ p after every stage p of one trunk: a mask for each task; multi-task attention network; Liu et al. 2019

    `widths`: how many channels, or features, each stage gives. vₖ sees p and what the task's mask left of the stage before, averaged
    to the size of p where that is smaller. The stages are φ and run once for all tasks; masks and heads are θₖ.
    """

    def __init__(self, stages: Sequence[nn.Module], heads: Mapping[str, nn.Module], widths: Sequence[int]) -> None:
        super().__init__(heads)
        if not stages or len(stages) != len(widths):
            raise ValueError(f"MTAN: needs the width of each of {len(stages)} stages, at least one, got {list(widths)}")
        self.stages, self.widths = nn.ModuleList(stages), list(widths)
        inputs = [w + before for w, before in zip(widths, [0, *widths])]
        self.masks = nn.ModuleDict({k: nn.ModuleList(Attention(i, w) for i, w in zip(inputs, widths)) for k in heads})
        self.check_owners()

    def own_parts(self, task: str) -> Iterable[nn.Module]:
        return (self.masks[task],)

    def task_features(self, x: Any, tasks: Sequence[str]) -> dict[str, Any]:
        shared = []
        for i, (stage, width) in enumerate(zip(self.stages, self.widths, strict=True)):
            x = stage(x)
            if x.ndim not in (2, 4) or x.shape[1] != width:
                raise ValueError(f"MTAN: stage {i} gives {x.shape}, must give (N, {width}) or (N, {width}, H, W)")
            shared.append(x)
        return {k: self.masked(k, shared) for k in tasks}

    def masked(self, task: str, shared: Sequence[Tensor]) -> Tensor:
        """What a task's masks leave of the last stage."""
        a: Tensor | None = None
        for p, mask in zip(shared, self.masks[task], strict=True):  # type: ignore[call-overload]
            image = p if p.ndim == 4 else p.reshape((*p.shape, 1, 1))
            a = attended(image, mask(image, a))
        assert a is not None
        return a.reshape(shared[-1].shape)
