"""Smaller models, for phones and edge devices: weights cut to 0, and weights of eight bits.      D3 §7

    transfer.prune(model, 0.8)              four fifths of all weights are 0, and stay so in training
    transfer.permanent(model)               a plain model again, with zeros
    transfer.quantize(model)                int8 weights: a quarter of the bytes
    mm.save(model.state_dict(), "small.npz")
    transfer.footprint({"teacher": …, "pruned": …}, x, accuracy)      side by side

A Linear or Conv2d whose weights are compressed is of another class from then on, and still the same object in the same place: its
owner, its name and its bias stay. Its `weight` is no parameter, but computed of what it keeps. Subclasses of the two are left alone.
A student of few parameters is the third way: `mtl.Distillation(student, {task: teacher})`.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.transfer.freezing import Patterns, matching

M = TypeVar("M", bound=nn.Module)


class Pruned(nn.Module):
    """w′ = m w      m: `weight_mask`, 0 or 1; w: `weight_orig`, the parameter; as `torch.nn.utils.prune`

    No number that w may hold where m is 0 comes through, be it moved there by momentum or decay; its gradient there is 0.
    """

    weight_orig: nn.Parameter
    weight_mask: Tensor

    @property
    def weight(self) -> Tensor:
        """w′ = m w"""
        return self.weight_orig * self.weight_mask


class Int8(nn.Module):
    """w ≈ s q      q: `weight_q`, int8, s: `weight_scale`, a number for each output; computed anew at each use, and not trained"""

    weight_q: Tensor
    weight_scale: Tensor

    @property
    def weight(self) -> Tensor:
        """s q"""
        q, s = self.weight_q.array, self.weight_scale.array
        return Tensor(s.reshape(-1, *[1] * (q.ndim - 1)) * q)


class PrunedLinear(Pruned, nn.Linear):  # type: ignore[misc]
    """A Linear whose weight is m w."""


class PrunedConv2d(Pruned, nn.Conv2d):  # type: ignore[misc]
    """A Conv2d whose weight is m w."""


class Int8Linear(Int8, nn.Linear):  # type: ignore[misc]
    """A Linear whose weight is s q."""


class Int8Conv2d(Int8, nn.Conv2d):  # type: ignore[misc]
    """A Conv2d whose weight is s q."""


PLAIN: dict[type, type] = {
    PrunedLinear: nn.Linear,
    Int8Linear: nn.Linear,
    nn.Linear: nn.Linear,
    PrunedConv2d: nn.Conv2d,
    Int8Conv2d: nn.Conv2d,
    nn.Conv2d: nn.Conv2d,
}
PRUNED: dict[type, type] = {nn.Linear: PrunedLinear, nn.Conv2d: PrunedConv2d}
INT8: dict[type, type] = {nn.Linear: Int8Linear, nn.Conv2d: Int8Conv2d}
WEIGHTS = {"weight", "weight_orig", "weight_mask", "weight_q", "weight_scale"}


def layers(name: str, model: nn.Module, except_: Patterns) -> dict[str, Any]:
    """{name: layer} of what can be compressed, but for what is excepted; all weights are finite."""
    spared = matching(model, [except_] if isinstance(except_, str) else except_)
    found: dict[str, Any] = {n: part for n, part in model.named_modules() if type(part) in PLAIN and n not in spared}
    if not found:
        raise ValueError(f"{name}: {type(model).__name__} has no Linear and no Conv2d, but for {sorted(spared)}")
    for n, layer in found.items():
        if not np.isfinite(layer.weight.array).all():
            raise ValueError(f"{name}: the weight of {n or 'the model'!r} is not finite")
    return found


def rebuilt(layer: Any, kind: type, weight: dict[str, Tensor]) -> None:
    """Make the layer one of another class, with these parameters and buffers in the place of its weight."""
    old = vars(layer)
    at = list(old).index(next(name for name in old if name in WEIGHTS))
    others = [(name, value) for name, value in old.items() if name not in WEIGHTS and name != "_buffers"]
    buffers = {name: kept for name, kept in old.get("_buffers", {}).items() if name not in WEIGHTS}
    buffers |= {name: True for name, t in weight.items() if not isinstance(t, nn.Parameter)}
    old.clear()
    old.update([*others[:at], *weight.items(), *others[at:], ("_buffers", buffers)])  # the order of parameters stays
    layer.__class__ = kind


# Pruning


@equation(
    "tl.pruning",
    r"m_i = [ \sum_{j=1}^{n} [|w_j| < |w_i| \lor |w_j| = |w_i| \land j < i] \ge k ]",
    shapes="w (n) → m (n)",
    source="Han et al. 2015",
    conventions="the k smallest of n are cut; of equal ones those that come first",
)
def mask(w: Array, k: int) -> Array:
    """mᵢ = [Σⱼ [|wⱼ| < |wᵢ| or |wⱼ| = |wᵢ| and j < i] ≥ k]      0 for the k smallest of n numbers, 1 for the others"""
    m = np.ones_like(w)
    m[np.argsort(np.abs(w), kind="stable")[:k]] = 0
    return m


@equation(
    "tl.filter_norm",
    r"v_f = \sqrt{\sum_{i=1}^{n} w_{fi}^2}",
    shapes="w (F, n) → v (F)",
    source="Li et al. 2017, with the 2-norm",
    conventions="row f holds all weights that make output f",
)
def norms(w: Array) -> Array:
    """v[f] = √(Σᵢ w[f,i]²)      (F, n) → (F)"""
    return np.sqrt((w * w).sum(axis=1))


def prune(model: M, amount: float, by: str = "global", except_: Patterns = ()) -> M:
    """w′ = m w, m = 0 for the share `amount` of weights of least magnitude; returns the model, whose layers are `Pruned`.

    by "global" the smallest of all layers together are cut, by "layer" the smallest of each, by "filter" in each layer whole outputs,
    those of least norm (mind the last layer: its outputs are classes). Biases stay, as does what `except_` names, as for `freeze`.
    What was cut before counts as 0: cutting half and then 0.8 makes 0.8. The numbers under the mask are kept, so that frozen ones
    stay as they are, until `permanent` writes the zeros.
    """
    if by not in ("global", "layer", "filter"):
        raise ValueError(f"prune: by must be 'global', 'layer' or 'filter', got {by!r}")
    if isinstance(amount, bool) or not (isinstance(amount, (int, float)) and 0 <= amount <= 1):
        raise ValueError(f"prune: amount must be a share in [0, 1], got {amount!r}")
    chosen = layers("prune", model, except_)
    small = [n for n, layer in chosen.items() if isinstance(layer, Int8)]
    if small:
        raise ValueError(f"prune: {small} are int8 already: prune first, then quantize")
    owner = {parameter_of(layer): layer for layer in chosen.values()}  # once each, where layers share a weight
    w = {p: layer.weight.array for p, layer in owner.items()}
    m = dict(zip(w, masks(list(w.values()), amount, by), strict=True))
    for layer in chosen.values():
        p = parameter_of(layer)
        rebuilt(layer, PRUNED[PLAIN[type(layer)]], {"weight_orig": p, "weight_mask": Tensor(m[p].astype(p.dtype))})
    return model


def parameter_of(layer: Any) -> nn.Parameter:
    """The parameter behind the weight."""
    p: nn.Parameter = layer.weight_orig if isinstance(layer, Pruned) else layer.weight
    return p


def masks(w: list[Array], amount: float, by: str) -> Iterator[Array]:
    """A mask for each weight."""
    if by == "global":
        flat = np.concatenate([a.reshape(-1) for a in w])
        m = mask(flat, round(amount * len(flat)))
        ends = np.cumsum([a.size for a in w])
        return (part.reshape(a.shape) for part, a in zip(np.split(m, ends[:-1]), w, strict=True))
    if by == "layer":
        return (mask(a.reshape(-1), round(amount * a.size)).reshape(a.shape) for a in w)
    rows = [mask(norms(a.reshape(len(a), -1)), round(amount * len(a))) for a in w]
    return (np.broadcast_to(m.reshape(-1, *[1] * (a.ndim - 1)), a.shape) for m, a in zip(rows, w, strict=True))


# Eight bits


@equation(
    "tl.int8",
    r"q_{fi} = \lfloor \frac{w_{fi}}{s_f} + \frac{1}{2} \rfloor, \quad s_f = \frac{1}{127} \max_{1 \le j \le n} |w_{fj}|",
    shapes="w (F, n) → q (F, n)",
    source="Jacob et al. 2018; Krishnamoorthi 2018",
    conventions="symmetric, a scale for each output f, q in −127 … 127; then |w − s q| ≤ s/2; where a row is 0, s is 1",
)
def eight_bits(w: Array) -> tuple[Array, Array]:
    """q[f,i] = ⌊w[f,i] / s[f] + 1/2⌋;  s[f] = 1/127 maxⱼ |w[f,j]|      (F, n) → q (F, n) int8, s (F)"""
    s = np.abs(w).max(axis=1, initial=0) / w.dtype.type(127)
    s = np.where(s > 0, s, np.ones_like(s))
    return np.floor(w / s[:, None] + w.dtype.type(0.5)).astype(np.int8), s


def quantize(model: M, except_: Patterns = ()) -> M:
    """w ≈ s q, q whole numbers in −127 … 127, so |w − s q| ≤ s/2; returns the model, whose layers are `Int8`.

    Weights of Linear and Conv2d, pruned ones with their zeros. They are no parameters any more; biases are, and can be trained. To
    load such a state, `quantize` a model of the same layers and then `load_state_dict`. What `except_` names stays, as for `freeze`.
    """
    chosen = layers("quantize", model, except_)
    made: dict[str, dict[str, Tensor]] = {}
    for name, layer in chosen.items():
        if not isinstance(layer, Int8):
            w = layer.weight.array
            q, s = eight_bits(w.reshape(len(w), -1))
            made[name] = {"weight_q": Tensor(q.reshape(w.shape)), "weight_scale": Tensor(s)}
    for name, weight in made.items():
        rebuilt(chosen[name], INT8[PLAIN[type(chosen[name])]], weight)
    return model


def permanent(model: M) -> M:
    """A plain model again, its weights m w or s q as they count; returns the model.

    The parameters of pruned layers stay the same objects, now with zeros in them; those of int8 layers are new ones, which are trained
    unless the layer is frozen.
    """
    made: dict[nn.Parameter, nn.Parameter] = {}
    for layer in list(model.modules()):
        if isinstance(layer, Pruned):
            p = made.setdefault(layer.weight_orig, layer.weight_orig)
            with no_grad():
                p.copy_(layer.weight)
            rebuilt(layer, PLAIN[type(layer)], {"weight": p})
        elif isinstance(layer, Int8):
            rebuilt(layer, PLAIN[type(layer)], {"weight": nn.Parameter(layer.weight, requires_grad=not layer.frozen)})
    return model
