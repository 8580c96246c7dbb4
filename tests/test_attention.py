"""Attention: against loops, its masks, and PyTorch's layers number by number."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn, testing

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
    layer, x = nn.MultiheadAttention(4, 2, batch_first=True), mm.ones(2, 3, 4)
    with pytest.raises(ValueError, match="needs keys for each of 2 sequences, got 1"):
        layer(x, x[:1], x[:1])
    with pytest.raises(ValueError, match=r"key_padding_mask must be \(2, 3\), got \(3, 2\)"):
        layer(x, x, x, key_padding_mask=mm.zeros(3, 2).bool())
    with pytest.raises(ValueError, match=r"attn_mask must be \(3, 3\) or \(4, 3, 3\), got \(2, 3, 3\)"):
        layer(x, x, x, attn_mask=mm.zeros(2, 3, 3))
    with pytest.raises(TypeError, match="MultiheadAttention: attn_mask must be of booleans or of float32, got int64"):
        layer(x, x, x, attn_mask=mm.zeros(3, 3).long())
    with pytest.raises(ValueError, match="'relu' or 'gelu'"):
        nn.TransformerEncoderLayer(4, 2, activation="tanh")
    with pytest.raises(ValueError, match="num_layers must be at least 1"):
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2), 0)


def test_shares_are_dropped_in_training_alone() -> None:
    mm.manual_seed(0)
    layer, x = nn.MultiheadAttention(4, 2, dropout=0.5), mm.randn(6, 2, 4)
    assert (layer(x, x, x)[1].numpy() == 0).any()
    _, P = layer.eval()(x, x, x)
    np.testing.assert_allclose(P.numpy().sum(axis=-1), 1, rtol=1e-6)


# Beside PyTorch


def masks_of(kind: str, L: int, rng: np.random.Generator) -> dict[str, Any]:
    """For 2 sequences of L queries and 5 keys under 3 heads; every query may look at the first key."""
    if kind == "none":
        return {}
    hides, padding = rng.random((L, 5)) > 0.6, np.zeros((2, 5), dtype=bool)
    hides[:, 0] = False
    padding[0, 3:] = True
    if kind == "heads":
        hides = np.stack([hides, *(np.roll(hides, k, axis=0) for k in range(1, 6))])
    if kind == "numbers":
        return {"attn_mask": rng.standard_normal((L, 5)), "key_padding_mask": np.where(padding, -np.inf, 0.0)}
    return {"attn_mask": hides} if kind == "heads" else {"attn_mask": hides, "key_padding_mask": padding}


def same(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-11)


def twins(make: Any) -> Any:
    """The same module in both, with the same numbers, biases of 0 moved."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    ours, theirs = make(nn).double(), make(torch.nn).double()
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1 * torch.randn_like(p)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [k for k, _ in ours.named_parameters()] == [k for k, _ in theirs.named_parameters()]
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return torch, ours, theirs


@pytest.mark.oracle
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["none", "booleans", "heads", "numbers"])
@pytest.mark.parametrize("cross", [False, True])
def test_multi_head_attention_is_pytorchs(batch_first: bool, bias: bool, kind: str, cross: bool) -> None:
    """Outputs, shares, and the gradients of queries, keys, values and parameters; the shares take a gradient too."""
    torch, ours, theirs = twins(lambda n: n.MultiheadAttention(6, 3, bias=bias, batch_first=batch_first))
    rng = np.random.default_rng(0)
    L = 4 if cross else 5
    sizes = (L, 5, 5) if cross else (L,)
    arrays = [rng.standard_normal((2, n, 6) if batch_first else (n, 2, 6)) for n in sizes]
    masks = masks_of(kind, L, rng)
    ours_hidden, theirs_hidden = ({k: t(m) for k, m in masks.items()} for t in (mm.tensor, torch.tensor))
    for average in (True, False):
        xs, zs = ([t(a, requires_grad=True) for a in arrays] for t in (mm.tensor, torch.tensor))
        y, P = ours(*(xs if cross else xs * 3), average_attn_weights=average, **ours_hidden)
        v, S = theirs(*(zs if cross else zs * 3), average_attn_weights=average, **theirs_hidden)
        same(y, v)
        same(P, S)
        G, H = rng.standard_normal(y.shape), rng.standard_normal(P.shape)
        ((y * mm.tensor(G)).sum() + (P * mm.tensor(H)).sum()).backward()
        ((v * torch.tensor(G)).sum() + (S * torch.tensor(H)).sum()).backward()
        for x, z in zip(xs, zs, strict=True):
            same(x.grad, z.grad)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            same(p.grad, q.grad)
    assert ours(*(xs if cross else xs * 3), need_weights=False)[1] is None


@pytest.mark.oracle
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_masked_encoder_is_pytorchs(batch_first: bool, norm_first: bool) -> None:
    def make(n: Any) -> Any:
        layer = n.TransformerEncoderLayer(6, 3, 5, dropout=0.0, batch_first=batch_first, norm_first=norm_first)
        options = {} if n is nn else {"enable_nested_tensor": False}
        return n.TransformerEncoder(layer, 2, **options)

    torch, ours, theirs = twins(make)
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 5, 6) if batch_first else (5, 2, 6))
    causal, padding = np.triu(np.ones((5, 5), dtype=bool), 1), np.zeros((2, 5), dtype=bool)
    padding[0, 3:] = True
    x, z = (t(a, requires_grad=True) for t in (mm.tensor, torch.tensor))
    y, v = ours(x, mm.tensor(causal), mm.tensor(padding)), theirs(z, torch.tensor(causal), torch.tensor(padding))
    same(y, v)
    G = rng.standard_normal(y.shape)
    y.backward(mm.tensor(G))
    v.backward(torch.tensor(G))
    same(x.grad, z.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        same(p.grad, q.grad)


@pytest.mark.oracle
def test_initial_numbers_are_of_pytorchs_distribution() -> None:
    torch = pytest.importorskip("torch")
    mm.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = (n.MultiheadAttention(60, 3).state_dict() for n in (nn, torch.nn))
    for name, t in theirs.items():
        a, b = ours[name].numpy().astype(float), t.numpy().astype(float)
        assert abs(a.mean() - b.mean()) <= 6 * b.std() * math.sqrt(2 / a.size)
        np.testing.assert_allclose([a.std(), a.min(), a.max()], [b.std(), b.min(), b.max()], rtol=0.05)
