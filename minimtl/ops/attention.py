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

    attn_mask (…, A, B) is added to the scores; of booleans True lets a query look. `is_causal` lets query i look at keys up to i.
    Drops shares with probability dropout_p, also in evaluation: the caller knows its mode.
    """
    for name, t in (("query", query), ("key", key), ("value", value)):
        check.tensor("scaled_dot_product_attention", name, t)
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        shapes = f"{query.shape}, {key.shape} and {value.shape}"
        raise ValueError(
            f"scaled_dot_product_attention: needs query (…, A, E), key (…, B, E) and value (…, B, D), got {shapes}"
        )
    mask = added(attn_mask, query)
    if is_causal:
        if attn_mask is not None:
            raise ValueError("scaled_dot_product_attention: is_causal excludes attn_mask")
        A, B = query.shape[-2], key.shape[-2]
        mask = added(Tensor(np.tril(np.ones((A, B), dtype=bool))), query)
    return attention(query, key, value, mask, dropout_p)[0]


def added(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask as numbers that are added: of booleans 0 where True, −∞ where False."""
    if mask is None or mask.dtype.kind == "f":
        return mask
    zero = Tensor(np.zeros((), dtype=like.dtype))
    return where(mask, zero, Tensor(np.full((), -np.inf, dtype=like.dtype)))
