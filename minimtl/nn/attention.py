"""Attention layers and the transformer's encoder, with PyTorch's names, keys and defaults."""

import copy
from typing import Any

from minimtl.autograd import Tensor
from minimtl.nn import functional as F
from minimtl.nn import init
from minimtl.nn.containers import ModuleList
from minimtl.nn.layers import Dropout, LayerNorm, Linear
from minimtl.nn.module import Module, Parameter
from minimtl.ops import zeros
from minimtl.ops.attention import added, attention


class MultiheadAttention(Module):
    """W_o [Y₁ … Y_h] + b_o, Yᵢ the attention of head i, E/h wide      queries (L, N, E), keys and values (S, N, E) → (L, N, E)

    With `batch_first` (N, L, E). Returns the output and, with `need_weights`, the shares (N, L, S), the mean over heads or, unless
    `average_attn_weights`, (N, h, L, S). A boolean mask is True where one may not look, as in PyTorch (and unlike
    `scaled_dot_product_attention`); numbers are added to the scores: key_padding_mask (N, S), attn_mask (L, S) or (N·h, L, S).
    """

    shown = ("embed_dim", "num_heads", "dropout", "batch_first")

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, *, batch_first: bool = False
    ) -> None:
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: num_heads must divide embed_dim, got {num_heads} and {embed_dim}")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.in_proj_weight = Parameter(zeros(3 * embed_dim, embed_dim))
        self.in_proj_bias = Parameter(zeros(3 * embed_dim)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        init.xavier_uniform_(self.in_proj_weight)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """(output, shares or None)"""
        if query.ndim != 3 or key.shape != value.shape or query.shape[-1] != self.embed_dim or key.shape[-1] != self.embed_dim:
            raise ValueError(
                f"MultiheadAttention: needs three axes, the last {self.embed_dim} wide, keys and values alike, got "
                f"{query.shape}, {key.shape} and {value.shape}"
            )
        if not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        if query.shape[0] != key.shape[0]:
            raise ValueError(f"MultiheadAttention: needs keys for each of {query.shape[0]} sequences, got {key.shape[0]}")
        (N, L, E), S, h = query.shape, key.shape[1], self.num_heads
        weights = self.in_proj_weight.split(E)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.split(E)
        q, k, v = (
            F.linear(t, w, b).reshape(N, -1, h, E // h).transpose(1, 2)  # (N, h, L, E/h)
            for t, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        Y, P = attention(q, k, v, self.mask(query, attn_mask, key_padding_mask, S), self.dropout if self.training else 0.0)
        y = self.out_proj(Y.transpose(1, 2).reshape(N, L, E))  # (N, h, L, E/h) → (N, L, E)
        y = y if self.batch_first else y.transpose(0, 1)
        return y, None if not need_weights else P.mean(dim=1) if average_attn_weights else P

    def mask(self, query: Tensor, attn_mask: Tensor | None, padding: Tensor | None, S: int) -> Tensor | None:
        """Both masks as one, to be added to the scores (N, h, L, S)."""
        (N, L, _), h = query.shape, self.num_heads
        m = hidden("attn_mask", attn_mask, query, [(L, S), (N * h, L, S)])
        p = hidden("key_padding_mask", padding, query, [(N, S)])
        if m is not None and m.ndim == 3:
            m = m.reshape(N, h, L, S)
        if p is not None:
            p = p.reshape(N, 1, 1, S)
        return p if m is None else m if p is None else m + p


def hidden(what: str, mask: Tensor | None, like: Tensor, shapes: list[tuple[int, ...]]) -> Tensor | None:
    """A mask as numbers that are added: of booleans −∞ where True."""
    if mask is not None and mask.shape not in shapes:
        raise ValueError(f"MultiheadAttention: {what} must be {' or '.join(map(str, shapes))}, got {mask.shape}")
    return added("MultiheadAttention", what, mask if mask is None or mask.dtype.kind != "b" else ~mask, like)


class TransformerEncoderLayer(Module):
    """x ← LN(x + attention(x)), x ← LN(x + W₂ relu(W₁ x))      (L, N, E), or (N, L, E) with `batch_first`; Vaswani et al. 2017

    With `norm_first` x + attention(LN(x)) and x + W₂ relu(W₁ LN(x)).
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
    ) -> None:
        if activation not in ("relu", "gelu"):
            raise ValueError(f"TransformerEncoderLayer: activation must be 'relu' or 'gelu', got {activation!r}")
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model)
        self.norm1, self.norm2 = LayerNorm(d_model, layer_norm_eps), LayerNorm(d_model, layer_norm_eps)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation, self.norm_first = {"relu": F.relu, "gelu": F.gelu}[activation], norm_first

    def forward(self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None) -> Tensor:
        """The sequences after one layer."""

        def looked(x: Tensor) -> Any:
            y, _ = self.self_attn(x, x, x, src_key_padding_mask, need_weights=False, attn_mask=src_mask)
            return self.dropout1(y)

        def fed(x: Tensor) -> Any:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        if self.norm_first:
            x = src + looked(self.norm1(src))
            return x + fed(self.norm2(x))
        x = self.norm1(src + looked(src))
        return self.norm2(x + fed(x))


class TransformerEncoder(Module):
    """Layers of one kind, one after the other: copies of `encoder_layer`, which start alike, as in PyTorch."""

    def __init__(self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None) -> None:
        if num_layers < 1:
            raise ValueError(f"TransformerEncoder: num_layers must be at least 1, got {num_layers}")
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.norm = norm

    def forward(self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None) -> Tensor:
        """The sequences after all layers."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)
