"""Trunks φ for other than images: columns of symbols, as users and items, and sequences of tokens."""

from collections.abc import Sequence

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.ops import arange, cat


class SharedEmbedding(nn.Module):
    """[E₁[x₁] … E_F[x_F]  d]      columns of symbols (N, F) integers → (N, ΣD): embeddings that all tasks share; D0 §5

    sizes: for each column how many symbols it has; dims: how wide each embedding is, one number for all or one for each.
    With `dense` features x is the pair (columns, d) and d, (N, dense) numbers, stands behind the embeddings: (N, ΣD + dense).
    """

    def __init__(self, sizes: Sequence[int], dims: int | Sequence[int], dense: int = 0) -> None:
        widths = [dims] * len(sizes) if isinstance(dims, int) else list(dims)
        if not sizes or len(widths) != len(sizes):
            raise ValueError(f"SharedEmbedding: needs a width for each of {len(sizes)} columns, at least one, got {dims}")
        if dense < 0:
            raise ValueError(f"SharedEmbedding: dense must not be negative, got {dense}")
        self.tables = nn.ModuleList(nn.Embedding(n, d) for n, d in zip(sizes, widths, strict=True))
        self.dense, self.out_features = dense, sum(widths) + dense

    def forward(self, x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """The embeddings of all columns, side by side, and the dense features behind them."""
        columns, *dense = x if isinstance(x, (tuple, list)) else (x,)
        if columns.ndim != 2 or columns.shape[1] != len(self.tables):
            raise ValueError(f"SharedEmbedding: needs (N, {len(self.tables)}) integers, got {columns.shape}")
        wanted = [(len(columns), self.dense)] if self.dense else []
        if [d.shape for d in dense] != wanted:
            raise ValueError(f"SharedEmbedding: needs dense features of shapes {wanted}, got {[d.shape for d in dense]}")
        return cat([*(table(columns[:, i]) for i, table in enumerate(self.tables)), *dense], dim=1)


class SharedEncoder(nn.Module):
    """A small transformer encoder that all tasks share: tokens (N, L) → the mean of its outputs over the tokens, (N, d); D1 §2.3

    x = E[token] + P[place], then layers of attention. Tokens equal to `padding` are seen by none and do not count in the mean;
    a sequence must have another one.
    """

    def __init__(
        self,
        vocabulary: int,
        d_model: int = 32,
        nhead: int = 4,
        num_layers: int = 2,
        dim_feedforward: int = 64,
        max_length: int = 64,
        dropout: float = 0.0,
        padding: int | None = None,
    ) -> None:
        self.tokens, self.places = nn.Embedding(vocabulary, d_model), nn.Embedding(max_length, d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(d_model))
        self.max_length, self.padding = max_length, padding

    def forward(self, x: Tensor) -> Tensor:
        """The features of sequences."""
        if x.ndim != 2 or not 0 < x.shape[1] <= self.max_length:
            raise ValueError(f"SharedEncoder: needs tokens (N, L) with 0 < L ≤ {self.max_length}, got {x.shape}")
        empty = np.zeros(x.shape, dtype=bool) if self.padding is None else x.array == self.padding
        if empty.all(axis=1).any():
            raise ValueError(f"SharedEncoder: sequences {np.flatnonzero(empty.all(axis=1)).tolist()} hold nothing but padding")
        z = self.tokens(x) + self.places(arange(x.shape[1]))  # (N, L, d) + (L, d)
        z = self.encoder(z, src_key_padding_mask=Tensor(empty) if empty.any() else None)
        share = (~empty / (~empty).sum(axis=1, keepdims=True)).astype(z.dtype)
        return (z * Tensor(share[:, :, None])).sum(dim=1)
