"""Attention: against loops, its masks, and PyTorch's layers number by number."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import mtl, nn, testing

seeds = st.integers(0, 2**32 - 1)


def naive(Q: Any, K: Any, V: Any, M: Any) -> Any:
    Y = np.zeros((len(Q), V.shape[1]))
    for i, q in enumerate(Q):
        e = np.array([math.exp(q @ k / math.sqrt(len(q)) + m) if m > -np.inf else 0.0 for k, m in zip(K, M[i])])
        Y[i] = (e / e.sum()) @ V
    return Y


@given(st.integers(1, 4), st.integers(1, 4), seeds)
def test_attention_is_a_mixture_of_values(A: int, B: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    Q, K, V, M = (
        rng.standard_normal((A, 3)),
        rng.standard_normal((B, 3)),
        rng.standard_normal((B, 2)),
        rng.standard_normal((A, B)),
    )
    found = F.scaled_dot_product_attention(*map(mm.tensor, (Q, K, V)), attn_mask=mm.tensor(M))
    np.testing.assert_allclose(found.numpy(), naive(Q, K, V, M), rtol=1e-9, atol=1e-12)
    looks = np.tril(np.ones((A, B), dtype=bool))
    causal = F.scaled_dot_product_attention(*map(mm.tensor, (Q, K, V)), is_causal=True)
    np.testing.assert_allclose(causal.numpy(), naive(Q, K, V, np.where(looks, 0, -np.inf)), rtol=1e-9, atol=1e-12)
    masked = F.scaled_dot_product_attention(*map(mm.tensor, (Q, K, V)), attn_mask=mm.tensor(looks))
    assert (masked.numpy() == causal.numpy()).all()


def test_gradients() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(s) for s in ((2, 3, 2), (2, 4, 2), (2, 4, 3)))
    testing.gradcheck(F.scaled_dot_product_attention, *map(mm.tensor, (q, k, v)))
    mm.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2).double()
    testing.gradcheck(lambda x, y: layer(x, y, y)[0], mm.randn(3, 2, 4).double(), mm.randn(5, 2, 4).double())


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that are not divided by the root of their width."""
    monkeypatch.setattr("minimtl.ops.attention.math.sqrt", lambda x: 1.0)
    with pytest.raises(AssertionError):
        Q, K, V = np.random.default_rng(0).standard_normal((3, 2, 3))
        found = F.scaled_dot_product_attention(*map(mm.tensor, (Q, K, V))).numpy()
        e = np.exp(Q @ K.T / 3**0.5)
        np.testing.assert_allclose(found, e / e.sum(axis=1, keepdims=True) @ V, rtol=1e-9)


def test_a_padded_place_is_seen_by_none() -> None:
    mm.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    x, padding = mm.randn(2, 3, 4), mm.tensor([[False, False, True], [False, False, False]])
    y, P = layer(x, x, x, key_padding_mask=padding)
    assert (P.numpy()[0, :, 2] == 0).all()
    np.testing.assert_allclose(P.numpy().sum(axis=2), 1, rtol=1e-6)
    other = x.numpy().copy()
    other[0, 2] = 9
    again = layer(x, mm.tensor(other), mm.tensor(other), key_padding_mask=padding)[0]
    np.testing.assert_allclose(again.numpy(), y.numpy(), rtol=1e-6)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="num_heads must divide embed_dim"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(ValueError, match="three axes, the last 4 wide"):
        nn.MultiheadAttention(4, 2)(mm.ones(2, 1, 3), mm.ones(2, 1, 4), mm.ones(2, 1, 4))
    with pytest.raises(ValueError, match=r"needs query \(…, A, E\)"):
        F.scaled_dot_product_attention(mm.ones(2, 3), mm.ones(2, 4), mm.ones(2, 3))
    with pytest.raises(ValueError, match="is_causal excludes"):
        F.scaled_dot_product_attention(mm.ones(2, 3), mm.ones(2, 3), mm.ones(2, 3), attn_mask=mm.ones(2, 2), is_causal=True)
    with pytest.raises(ValueError, match="'relu' or 'gelu'"):
        nn.TransformerEncoderLayer(4, 2, activation="tanh")
    with pytest.raises(ValueError, match="num_layers must be at least 1"):
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2), 0)


@pytest.mark.oracle
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_head_attention_is_pytorchs(batch_first: bool, masked: bool) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.MultiheadAttention(6, 3, batch_first=batch_first).double()
    ours = nn.MultiheadAttention(6, 3, batch_first=batch_first).double()
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    q, kv = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 5, 6))
    if not batch_first:
        q, kv = q.swapaxes(0, 1).copy(), kv.swapaxes(0, 1).copy()
    masks: dict[str, Any] = {}
    if masked:
        padding, look = np.zeros((2, 5), dtype=bool), rng.random((4, 5)) > 0.7
        padding[0, 3:] = True
        look[:, 0] = False
        masks = {"key_padding_mask": padding, "attn_mask": look}
    for average in (True, False):
        y, P = ours(
            mm.tensor(q),
            mm.tensor(kv),
            mm.tensor(kv),
            average_attn_weights=average,
            **{k: mm.tensor(m) for k, m in masks.items()},
        )
        other = {k: torch.tensor(m) for k, m in masks.items()}
        z, S = theirs(torch.tensor(q), torch.tensor(kv), torch.tensor(kv), average_attn_weights=average, **other)
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(P.numpy(), S.detach().numpy(), rtol=1e-9, atol=1e-12)


# Trunks that use it


def test_an_encoder_minds_the_order_of_tokens_but_not_padding() -> None:
    mm.manual_seed(0)
    trunk = mtl.SharedEncoder(vocabulary=9, d_model=8, nhead=2, padding=0)
    x = mm.tensor([[1, 2, 3], [3, 2, 1]])
    z = trunk(x).numpy()
    assert z.shape == (2, 8)
    assert np.abs(z[0] - z[1]).max() > 1e-3
    padded = trunk(mm.tensor([[1, 2, 3, 0, 0], [3, 2, 1, 0, 0]])).numpy()
    np.testing.assert_allclose(padded, z, rtol=1e-4, atol=1e-5)


def test_an_encoder_is_a_trunk_for_two_tasks() -> None:
    """Which token comes first, and whether a 1 occurs."""
    mm.manual_seed(0)
    model = mtl.HardSharing(
        mtl.SharedEncoder(5, d_model=16, nhead=2, num_layers=1), {"first": nn.Linear(16, 5), "one": nn.Linear(16, 2)}
    )
    x = mm.randint(5, (200, 4))
    y = {"first": x[:, 0].detach(), "one": (x == 1).any(dim=1).long()}
    tasks = [mtl.Task(k, nn.CrossEntropyLoss(), metrics=["accuracy"]) for k in y]
    batches = [(x[i : i + 50], {k: v[i : i + 50] for k, v in y.items()}) for i in range(0, 200, 50)]
    history = mtl.Trainer(model, tasks, mm.optim.Adam(model.parameters(), lr=0.01)).fit(batches, epochs=15, verbose=False)
    assert history["first accuracy"][-1] > 0.9
    assert history["one accuracy"][-1] > 0.9


def test_embeddings_of_users_and_items_are_shared() -> None:
    mm.manual_seed(0)
    trunk = mtl.SharedEmbedding([4, 7], [2, 3])
    x = mm.tensor([[0, 6], [3, 0]])
    z = trunk(x)
    assert z.shape == (2, trunk.out_features) == (2, 5)
    np.testing.assert_array_equal(z.numpy()[0], [*trunk.tables[0].weight.numpy()[0], *trunk.tables[1].weight.numpy()[6]])
    model = mtl.HardSharing(trunk, {"click": nn.Linear(5, 1), "buy": nn.Linear(5, 1)})
    assert len(list(model.shared_parameters())) == 2


def test_what_does_not_fit_a_trunk_is_refused() -> None:
    with pytest.raises(ValueError, match="a width for each of 2 columns"):
        mtl.SharedEmbedding([2, 2], [3])
    with pytest.raises(ValueError, match=r"needs \(N, 1\) integers, got \(2, 2\)"):
        mtl.SharedEmbedding([2], 3)(mm.zeros(2, 2).long())
    with pytest.raises(ValueError, match=r"0 < L ≤ 3"):
        mtl.SharedEncoder(5, max_length=3)(mm.zeros(1, 4).long())
    with pytest.raises(ValueError, match=r"sequences \[0\] hold nothing but padding"):
        mtl.SharedEncoder(5, padding=0)(mm.zeros(1, 4).long())
