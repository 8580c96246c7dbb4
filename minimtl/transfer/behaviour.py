"""Penalties on what parts of a model give for the batch: near what the source gave (DELTA, learning without forgetting), and BSS.

model = transfer.Watched(model, "layer4", "heads.old")            these parts' outputs are kept while it trains
mtl.Trainer(model, …, penalties=[
    transfer.feature_maps(model, 0.01, "layer4"),                 near what `model` gives now: DELTA
    transfer.lwf(model, 1.0, "heads.old"),                        its outputs for an old task stay: learning without forgetting
    transfer.bss(1e-3, "layer4"),                                 no direction of the features is suppressed: BSS
])
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.mtl.distillation import soft_targets
from minimtl.mtl.penalty import Penalty, total
from minimtl.nn.utils import evaluating, parts_named, wrapping
from minimtl.ops import check, ones, softmax, tensor_of
from minimtl.transfer.freezing import freeze

Outputs = dict[str, list[Any]]  # part → what it gave, call by call


class Seen(NamedTuple):
    """The inputs of a model's last call in training, and what its watched parts gave."""

    x: Any
    outputs: Outputs


class Watched(nn.Module):
    """model(x)      in training mode it keeps, until the next call, what the parts of these dotted names gave, in `seen`

    For penalties that are of features: they get the graph of the very pass that the losses are of. Copies and files have none of it.
    """

    def __init__(self, model: nn.Module, *names: str) -> None:
        if not names:
            raise ValueError("Watched: needs the name of a part, got none")
        parts_named("Watched", model, names)
        self.model: Any = model
        self.names = names
        self.seen: Seen | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "seen": None}

    def forward(self, x: Any) -> Any:
        """The model's output."""
        self.seen = None
        if not self.training:
            return self.model(x)
        output, outputs = kept(self.model, self.names, x)
        self.seen = Seen(x, outputs)
        return output

    @property
    def heads(self) -> Any:
        """The model's."""
        return self.model.heads

    @property
    def shared_parameters(self) -> Any:
        """The model's."""
        return self.model.shared_parameters

    @property
    def task_parameters(self) -> Any:
        """The model's."""
        return self.model.task_parameters


def kept(model: nn.Module, names: Sequence[str], x: Any) -> tuple[Any, Outputs]:
    """model(x), and what its parts gave on the way."""
    outputs: Outputs = {name: [] for name in names}

    def keeping(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            outputs[name].append(forward(*args, **kwargs))
            return outputs[name][-1]

        return run

    with wrapping(model, {name: partial(keeping, name) for name in names}):
        return model(x), outputs


def seen_by(model: Any, names: Sequence[str]) -> Seen:
    """What a watched model has seen of these parts, or of all that it watches."""
    if not isinstance(model, Watched):
        raise TypeError(f"a penalty on features needs a model in transfer.Watched(model, …), got {type(model).__name__}")
    unknown = [name for name in names if name not in model.names]
    if unknown:
        raise ValueError(f"Watched: {unknown} are not watched, but {list(model.names)}")
    if model.seen is None:
        raise RuntimeError("Watched: nothing was seen: the model has not been called as a whole in training mode")
    outputs = {name: model.seen.outputs[name] for name in names or model.names}
    silent = [name for name, given in outputs.items() if not given]
    if silent:
        raise RuntimeError(
            f"Watched: {silent} took no part in this batch, which must have inputs that all tasks have in common"
        )
    return Seen(model.seen.x, outputs)


def beside(source: nn.Module, names: Sequence[str]) -> Callable[[Any], dict[str, list[tuple[Any, Any]]]]:
    """A function of a watched model: what its parts gave, each beside what those of the source, as it is now, give for the same x."""
    model = source.model if isinstance(source, Watched) else source
    parts_named("Watched", model, names)
    then = freeze(copy.deepcopy(model))

    def pairs(model: Any) -> dict[str, list[tuple[Any, Any]]]:
        x, outputs = seen_by(model, names)
        with evaluating(then):
            _, before = kept(then, list(outputs), x)
        return {name: list(zip(outputs[name], before[name], strict=True)) for name in outputs}

    return pairs


# DELTA


@equation(
    "tl.feature_maps",
    r"R = \frac{1}{2 N} \sum_{n=1}^{N} \sum_{j=1}^{C} w_j \sum_{i=1}^{P} (F_{nji} - S_{nji})^2",
    shapes="F (N, C, P), S (N, C, P), w (C) → R ()",
    source="Li et al. 2019",
    conventions="F is a feature map of the model, S of the source, w ≥ 0 what a channel counts; a mean over samples, as losses are",
)
def map_distance(F: Tensor, S: Tensor, w: Tensor) -> Tensor:
    """R = 1 / (2 N) · Σₙ Σⱼ wⱼ Σᵢ (Fₙⱼᵢ − Sₙⱼᵢ)²      (N, C, P), (N, C, P), (C) → scalar"""
    d = F - S
    return (0.5 / len(F.array)) * (w.reshape(1, -1, 1) * d * d).sum()


def feature_maps(source: nn.Module, weight: float, *names: str, attention: Mapping[str, Tensor] | None = None) -> Penalty:
    """λ Σ 1/2 Σⱼ wⱼ ‖FMⱼ(θ) − FMⱼ(θₛ)‖²      DELTA, a penalty on a `Watched` model: the sum over the named parts, the mean over samples

    θₛ: `source` as it is now, in evaluation mode. The channels j lie on axis 1 of (N, C, …). attention: {name: w (C,)}, numbers ≥ 0, 1
    unless given; the paper makes them by `channel_attention`.
    """
    w = {name: tensor_of(a).detach() for name, a in (attention or {}).items()}
    unknown = sorted(set(w) - set(names)) if names else []
    if unknown or not all(a.ndim == 1 and np.isfinite(a.array).all() and (a.array >= 0).all() for a in w.values()):
        raise ValueError(f"feature_maps: attention must be {{name: (C,) numbers ≥ 0}} of {list(names)}, got {attention!r:.200}")

    def R(pairs: Mapping[str, list[tuple[Any, Any]]]) -> Tensor:
        return total(map_of(name, z, at, w.get(name)) for name, given in pairs.items() for z, at in given)

    return Penalty(R, weight, on=beside(source, names))


def map_of(name: str, z: Tensor, at: Tensor, w: Tensor | None) -> Tensor:
    """The distance of two outputs (N, C, …) of a part."""
    check.tensor("feature_maps", name, z)
    if z.shape != at.shape or z.ndim < 2 or (w is not None and w.shape != z.shape[1:2]):
        given = "" if w is None else f" and attention {w.shape}"
        raise ValueError(f"feature_maps: {name!r} must give (N, C, …), as the source does, got {z.shape}, {at.shape}{given}")
    N, C = z.shape[:2]
    return map_distance(z.reshape(N, C, -1), at.reshape(N, C, -1), (ones(C) if w is None else w).to(str(z.dtype)))


def channel_attention(
    model: nn.Module, name: str, loss: Callable[[Any, Any], Tensor], batches: Sequence[tuple[Any, Any]]
) -> Tensor:
    """wⱼ = e^{Lⱼ} / Σᵢ e^{Lᵢ}      (C,), adding up to 1: Lⱼ is the loss of the model with channel j of a part set to 0; Li et al. 2019

    The paper has Lⱼ − L for Lⱼ, L the whole model's loss, which cancels. `loss` compares the model's output with y, a mean; `batches`
    is a list of (x, y) of the target. C passes, in evaluation mode.
    """
    parts_named("channel_attention", model, [name])
    batches = list(batches)
    if not batches:
        raise ValueError("channel_attention: needs at least one batch")

    def without(j: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Tensor:
            z = forward(*args, **kwargs)
            mask = np.ones(z.shape[1], z.dtype)
            mask[j] = 0
            return z * Tensor(mask.reshape(-1, *[1] * (z.ndim - 2)))

        return run

    def mean_loss() -> float:
        return sum(loss(model(x), y).item() for x, y in batches) / len(batches)

    with evaluating(model):
        _, outputs = kept(model, [name], batches[0][0])
        cut = []
        for j in range(outputs[name][0].shape[1]):
            with wrapping(model, {name: partial(without, j)}):
                cut.append(mean_loss())
    return softmax(Tensor(np.array(cut)), dim=0).to(str(outputs[name][0].dtype))


# Learning without forgetting


def lwf(source: nn.Module, weight: float, *names: str, temperature: float = 2.0) -> Penalty:
    """λ Σ T²/N Σₙ KL(softmax(s/T) ‖ softmax(z/T))      learning without forgetting, a penalty on a `Watched` model; Li and Hoiem 2016

    z are the logits that the named parts, the heads of old tasks, give for the new task's batch, s those of the `source` as it is now:
    no old data are needed. `mtl.distillation` says how T, the temperature, enters; the paper has no T².
    """
    if not temperature > 0:
        raise ValueError(f"lwf: temperature must be greater than 0, got {temperature}")

    def R(pairs: Mapping[str, list[tuple[Any, Any]]]) -> Tensor:
        wrong = [name for name, given in pairs.items() for z, _ in given if z.ndim != 2 or z.shape[1] < 2]
        if wrong:
            raise ValueError(f"lwf: needs logits (N, C), C > 1, which {wrong} do not give")
        return total(soft_targets(z, s, temperature) for given in pairs.values() for z, s in given)

    return Penalty(R, weight, on=beside(source, names))


# Batch spectral shrinkage


def bss(weight: float, *names: str, k: int = 1) -> Penalty:
    """λ Σ (σ₋₁² + … + σ₋ₖ²)      batch spectral shrinkage, a penalty on a `Watched` model; Chen et al. 2019

    σ₋₁, σ₋₂ … are the smallest singular values of the features (N, D) that a named part gives for the batch, of (N, …) all numbers of a
    sample in a row. The paper takes k = 1 and λ = 1e-3.
    """
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"bss: k must be an integer ≥ 1, got {k!r}")

    def R(seen: Seen) -> Tensor:
        return total(smallest(z.flatten(1), k) for given in seen.outputs.values() for z in given)

    return Penalty(R, weight, on=lambda model: seen_by(model, names))


@equation(
    "tl.bss",
    r"y = \sum_{j=r-k+1}^{r} \left( \sum_{i=1}^{n} \sum_{l=1}^{m} U_{ij} A_{il} V_{lj} \right)^2",
    symbols={"U": "smallest", "V": "smallest"},
    shapes="A (n, m), U (n, r), V (m, r) → y ()",
    source="Chen et al. 2019",
    conventions="the singular vectors of A, the largest value first; k ≤ r",
)
@equation(
    "tl.bss.vjp",
    r"\frac{\partial L}{\partial A_{il}} = 2 G \sum_{j=r-k+1}^{r} \sigma_j U_{ij} V_{lj}",
    symbols={"σ": "smallest"},
)
@differentiable
def smallest(A: Array, k: int) -> Result:
    """y = Σⱼ (Σᵢ Σₗ Uᵢⱼ Aᵢₗ Vₗⱼ)²      ∂L/∂Aᵢₗ = 2 G Σⱼ σⱼ Uᵢⱼ Vₗⱼ      (n, m) → (): the k smallest singular values of A, squared

    Differentiable also where one is 0, but not where the k-th smallest equals the next: then the gradient is that of one choice.
    """
    check.floating("bss", A)
    if A.ndim != 2 or A.dtype == np.float16 or min(A.shape) < k:
        raise ValueError(f"bss: needs features (N, D) of float32 or float64 with N and D at least {k}, got {A.dtype} {A.shape}")
    if not np.isfinite(A).all():
        return np.full((), np.nan, A.dtype), lambda G: np.full_like(A, np.nan)
    U, σ, Vt = np.linalg.svd(A, full_matrices=False)
    least = U[:, -k:] * σ[-k:]  # (n, k)
    return (σ[-k:] ** 2).sum(), lambda G: 2 * G * (least @ Vt[-k:])
