"""Attention: every query takes a mixture of values, in the proportion in which it fits their keys."""

import math

import numpy as np

from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.ops import check
from minimtl.ops.arithmetic import where
from minimtl.ops.linalg import matmul
from minimtl.ops.norm import dropout
from minimtl.ops.reduce import softmax


@equation(
    "nn.attention",
    r"Y_{iv} = \sum_{j=1}^{B} P_{ij} V_{jv}, \quad P_{ij} = \frac{e^{S_{ij}}}{\sum_{a=1}^{B} e^{S_{ia}}}, "
    r"\quad S_{ij} = M_{ij} + \frac{1}{\sqrt{E}} \sum_{e=1}^{E} Q_{ie} K_{je}",
    symbols={"Q": "query", "K": "key", "V": "value", "M": "attn_mask"},
    shapes="Q (A, E), K (B, E), V (B, D), M (A, B) → Y (A, D)",
    source="Vaswani et al. 2017",
    conventions="A queries, B keys and values; M is −∞ where a query may not look. Leading axes alike",
    unseen=("dropout_p",),
)
@equation(
    "nn.attention.vjp.Q",
    r"\frac{\partial L}{\partial Q_{ie}} = \frac{1}{\sqrt{E}} \sum_{j=1}^{B} P_{ij} (H_{ij} - \sum_{a=1}^{B} H_{ia} P_{ia}) K_{je}, "
    r"\quad H_{ij} = \sum_{v=1}^{D} G_{iv} V_{jv}, \quad P_{ij} = \frac{e^{S_{ij}}}{\sum_{a=1}^{B} e^{S_{ia}}}, "
    r"\quad S_{ij} = M_{ij} + \frac{1}{\sqrt{E}} \sum_{e=1}^{E} Q_{ie} K_{je}",
)
@equation(
    "nn.attention.vjp.K",
    r"\frac{\partial L}{\partial K_{je}} = \frac{1}{\sqrt{E}} \sum_{i=1}^{A} P_{ij} (H_{ij} - \sum_{a=1}^{B} H_{ia} P_{ia}) Q_{ie}, "
    r"\quad H_{ij} = \sum_{v=1}^{D} G_{iv} V_{jv}, \quad P_{ij} = \frac{e^{S_{ij}}}{\sum_{a=1}^{B} e^{S_{ia}}}, "
    r"\quad S_{ij} = M_{ij} + \frac{1}{\sqrt{E}} \sum_{e=1}^{E} Q_{ie} K_{je}",
)
@equation(
    "nn.attention.vjp.V",
    r"\frac{\partial L}{\partial V_{jv}} = \sum_{i=1}^{A} P_{ij} G_{iv}, \quad P_{ij} = \frac{e^{S_{ij}}}{\sum_{a=1}^{B} e^{S_{ia}}}, "
    r"\quad S_{ij} = M_{ij} + \frac{1}{\sqrt{E}} \sum_{e=1}^{E} Q_{ie} K_{je}",
)
def attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Yᵢᵥ = Σⱼ Pᵢⱼ Vⱼᵥ, Pᵢⱼ = e^{Sᵢⱼ}/Σₐ e^{Sᵢₐ}, Sᵢⱼ = Mᵢⱼ + 1/√E Σₑ Qᵢₑ Kⱼₑ      (…, A, E), (…, B, E), (…, B, D) → (…, A, D), and P

    With Hᵢⱼ = Σᵥ Gᵢᵥ Vⱼᵥ

        ∂L/∂Qᵢₑ = 1/√E Σⱼ Pᵢⱼ (Hᵢⱼ − Σₐ Hᵢₐ Pᵢₐ) Kⱼₑ
        ∂L/∂Kⱼₑ = 1/√E Σᵢ Pᵢⱼ (Hᵢⱼ − Σₐ Hᵢₐ Pᵢₐ) Qᵢₑ
        ∂L/∂Vⱼᵥ = Σᵢ Pᵢⱼ Gᵢᵥ
    """
    scores = matmul(query, key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
    P = dropout(softmax(scores if attn_mask is None else attn_mask + scores, dim=-1), dropout_p)
    return matmul(P, value), P


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
) -> Tensor:
    """softmax(Q Kᵀ/√E + M) V      (…, A, E), (…, B, E), (…, B, D) → (…, A, D): see `attention`

    attn_mask (…, A, B), which broadcasts, is added to the scores; of booleans True lets a query look. `is_causal` lets query i
    look at keys up to i. A query that may look nowhere gets NaN, where PyTorch's gets 0. Drops shares with probability
    dropout_p, also in evaluation: the caller knows its mode.
    """
    name = "scaled_dot_product_attention"
    for what, t in (("query", query), ("key", key), ("value", value)):
        check.tensor(name, what, t)
    check.floating(name, query.array)
    check.one_dtype(name, query.array, key.array, value.array)
    few = min(query.ndim, key.ndim, value.ndim) < 2
    if few or query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        shapes = f"{query.shape}, {key.shape} and {value.shape}"
        raise ValueError(f"{name}: needs query (…, A, E), key (…, B, E) and value (…, B, D), got {shapes}")
    A, B = query.shape[-2], key.shape[-2]
    if is_causal:
        if attn_mask is not None:
            raise ValueError(f"{name}: is_causal excludes attn_mask")
        attn_mask = Tensor(np.tril(np.ones((A, B), dtype=bool)))
    mask = added(name, "attn_mask", attn_mask, query)
    if mask is not None and any(m not in (1, n) for m, n in zip(mask.shape[-2:][::-1], (B, A), strict=False)):
        raise ValueError(f"{name}: attn_mask {mask.shape} does not broadcast to (…, {A}, {B})")
    fronts = [t.shape[:-2] for t in (query, key, value, mask) if t is not None]
    try:
        np.broadcast_shapes(*fronts)
    except ValueError as error:
        raise ValueError(f"{name}: leading axes {' and '.join(map(str, fronts))} do not broadcast") from error
    return attention(query, key, value, mask, dropout_p)[0]


def added(name: str, what: str, mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask as numbers that are added: of booleans 0 where True, −∞ where False."""
    if mask is None:
        return None
    check.tensor(name, what, mask)
    if mask.dtype.kind != "b":
        if mask.dtype != like.dtype:
            raise TypeError(f"{name}: {what} must be of booleans or of {like.dtype}, got {mask.dtype}")
        return mask
    zero = Tensor(np.zeros((), dtype=like.dtype))
    return where(mask, zero, Tensor(np.full((), -np.inf, dtype=like.dtype)))
