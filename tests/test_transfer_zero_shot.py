"""Classes without a single training sample."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn, optim, transfer
from minimtl.transfer import zero_shot

seeds = st.integers(0, 2**32 - 1)


def problem(seed: int, D: int = 6, A: int = 4, C: int = 8, N: int = 160, noise: float = 0.0) -> tuple[Any, Any, Any]:
    """Features are a fixed linear picture of the attributes of their class: z = B a_c + noise. Signs of attributes all differ."""
    rng = np.random.default_rng(seed)
    codes = np.array([[1.0 if c >> i & 1 else -1.0 for i in range(A)] for c in rng.permutation(2**A)[:C]])
    B = np.linalg.qr(rng.standard_normal((D, A)))[0]
    y = np.arange(N) % C
    return codes[y] @ B.T + noise * rng.standard_normal((N, D)), y, codes


def split(z: Any, y: Any, seen: list[int]) -> tuple[Any, Any, Any, Any]:
    """Samples of the seen classes, labels 0 … len(seen) − 1, and of the others alike."""
    unseen = [c for c in range(y.max() + 1) if c not in seen]
    parts = [(z[np.isin(y, group)], np.array([group.index(c) for c in y if c in group])) for group in (seen, unseen)]
    return *parts[0], *parts[1]


SEEN = [0, 1, 2, 3, 4]


@given(seeds, st.floats(0.01, 10), st.floats(0.01, 10))
def test_the_closed_form_is_the_least_of_its_objective(seed: int, γ: float, λ: float) -> None:
    """‖Z V Sᵀ − Y‖² + γ‖V Sᵀ‖² + λ‖Z V‖² + γλ‖V‖² has no slope at V, and any step from it is upwards."""
    rng = np.random.default_rng(seed)
    Z, S, y = rng.standard_normal((9, 3)), rng.standard_normal((4, 2)), rng.integers(0, 4, 9)
    Y = np.where(y[:, None] == np.arange(4), 1.0, -1.0)

    def objective(V: Any) -> Any:
        squares = lambda M: (M * M).sum()  # noqa: E731
        return squares(Z @ V @ S.T - Y) + γ * squares(V @ S.T) + λ * squares(Z @ V) + γ * λ * squares(V)

    V = transfer.eszsl(Z, y, S, γ, λ).predict.weight.numpy().T
    for _ in range(4):
        step = 1e-3 * rng.standard_normal(V.shape)
        up, down = objective(V + step), objective(V - step)
        assert up > objective(V) < down
        assert up - down == pytest.approx(0, abs=1e-6 * (up + down))


def test_the_closed_form_by_brute_force() -> None:
    """The same as one linear system in all D·A numbers, by Kronecker's product."""
    rng = np.random.default_rng(0)
    Z, S, y = rng.standard_normal((9, 3)), rng.standard_normal((4, 2)), rng.integers(0, 4, 9)
    Y = np.where(y[:, None] == np.arange(4), 1.0, -1.0)
    M = np.kron(Z.T @ Z + 0.5 * np.eye(3), S.T @ S + 2 * np.eye(2))
    want = np.linalg.solve(M, (Z.T @ Y @ S).reshape(-1)).reshape(3, 2)
    np.testing.assert_allclose(transfer.eszsl(Z, y, S, 0.5, 2.0).predict.weight.numpy().T, want, rtol=1e-9)


H = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], float)
EVEN = np.concatenate([H, -H])  # of all 16 codes those with an even number of −1: SᵀS = 8 I, and their sum is 0
ODD = EVEN * [1, 1, 1, -1]


@given(seeds)
def test_unseen_classes_are_known_for_certain_where_features_are_a_picture_of_attributes(seed: int) -> None:
    """z = B a: then z V a′ is in proportion to a·a′, which is largest for the class itself."""
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((6, 4))
    y, order = np.arange(40) % 8, rng.permutation(8)
    head = transfer.eszsl(EVEN[y] @ B.T, y, EVEN, 1e-6, 1e-6)
    assert transfer.class_accuracy(head(mm.tensor(EVEN[y] @ B.T)), mm.tensor(y)) == 1
    unseen = ODD[order]
    said = head.on(unseen)(mm.tensor(unseen[y] @ B.T))
    assert transfer.class_accuracy(said, mm.tensor(y)) == 1
    np.testing.assert_allclose(said.numpy(), 2 * unseen[y] @ unseen.T / 8, atol=1e-3)


def test_a_head_that_is_trained_knows_them_too_and_on_shares_its_parameters() -> None:
    z, y, codes = problem(3, noise=0.05)
    z_seen, y_seen, z_new, y_new = (mm.tensor(v) for v in split(z.astype(np.float32), y, SEEN))
    assert np.linalg.matrix_rank(codes[SEEN]) == 4
    mm.manual_seed(0)
    by_class, by_attribute = (transfer.Compatibility(6, codes[SEEN], bias=bias) for bias in (False, True))
    new = by_class.on(codes[5:])
    targets = mm.tensor((codes[SEEN][y_seen.numpy()] > 0).astype(np.float32))
    for head, loss in (
        (by_class, lambda: F.cross_entropy(by_class(z_seen), y_seen)),
        (by_attribute, lambda: F.binary_cross_entropy_with_logits(by_attribute.predict(z_seen), targets)),
    ):
        rule = optim.Adam(head.parameters(), lr=0.05)
        for _ in range(150):
            rule.zero_grad()
            loss().backward()
            rule.step()
        assert transfer.class_accuracy(head.on(codes[5:])(z_new), y_new) == 1
    assert new.predict is by_class.predict and [*new.parameters()] == [*by_class.parameters()]
    assert new(z_new).shape == (len(z_new), 3) and by_class(z_new).shape == (len(z_new), 5)
    np.testing.assert_array_equal(by_class.attributes.numpy(), codes[SEEN])


def test_the_likelihood_of_independent_attributes_is_greatest_where_compatibility_is() -> None:
    """Σᵢ ln p(aᵢ) differs from Σᵢ uᵢ aᵢ/2, a = ±1, by what is the same for all classes; Lampert et al. 2009"""
    rng = np.random.default_rng(0)
    u, a = 3 * rng.standard_normal((20, 4)), rng.choice([-1.0, 1.0], (6, 4))
    p = 1 / (1 + np.exp(-u))
    likelihood = (np.log(p)[:, None] * (a > 0) + np.log(1 - p)[:, None] * (a < 0)).sum(axis=2)
    rest = likelihood - zero_shot.compatibility(mm.tensor(u), mm.tensor(a)).numpy() / 2
    np.testing.assert_allclose(rest, rest[:, :1].repeat(6, axis=1), rtol=1e-9)


@given(seeds)
def test_compatibility_is_a_bilinear_form_and_turning_attributes_turns_w(seed: int) -> None:
    rng = np.random.default_rng(seed)
    head = transfer.Compatibility(3, rng.standard_normal((4, 2))).double()
    z, W, a = rng.standard_normal((5, 3)), head.predict.weight.numpy().T, head.attributes.numpy()
    want = [[sum(z[n, d] * W[d, i] * a[c, i] for d in range(3) for i in range(2)) for c in range(4)] for n in range(5)]
    np.testing.assert_allclose(head(mm.tensor(z)).numpy(), want, rtol=1e-6, atol=1e-6)
    Z, y, Q = rng.standard_normal((9, 3)), rng.integers(0, 4, 9), np.linalg.qr(rng.standard_normal((2, 2)))[0]
    one, turned = transfer.eszsl(Z, y, a), transfer.eszsl(Z, y, a @ Q)
    np.testing.assert_allclose(one(mm.tensor(z)).numpy(), turned(mm.tensor(z)).numpy(), rtol=1e-6, atol=1e-9)


def test_float32_stays_and_states_are_kept_and_nothing_is_drawn() -> None:
    z, y, codes = problem(0)
    before = mm.random.default_generator.rng.bit_generator.state
    head = transfer.eszsl(z.astype(np.float32), y, codes.astype(np.float32))
    assert {t.dtype for t in head.state_dict().values()} == {mm.float32}
    assert head(mm.tensor(z.astype(np.float32))).dtype == mm.float32
    assert mm.random.default_generator.rng.bit_generator.state == before
    other = transfer.Compatibility(6, np.zeros((8, 4)))
    other.load_state_dict(head.state_dict())
    np.testing.assert_array_equal(other.attributes.numpy(), head.attributes.numpy())


def test_rare_classes_count_as_much() -> None:
    logits = mm.tensor(np.eye(3)[[0, 0, 0, 0, 1, 0]])
    assert transfer.class_accuracy(logits, mm.tensor([0, 0, 0, 0, 1, 1])) == pytest.approx((1 + 1 / 2) / 2)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_harmonic_mean_is_near_the_smaller(s: float, u: float) -> None:
    h = transfer.harmonic_mean(s, u)
    assert min(s, u) * (1 - 1e-9) <= h <= min((s + u) / 2 + 1e-9, 2 * min(s, u) + 1e-9)
    assert h == pytest.approx(transfer.harmonic_mean(u, s))
    assert transfer.harmonic_mean(s, s) == pytest.approx(s) and transfer.harmonic_mean(s, 0.0) == 0


def test_refusals() -> None:
    z, y, codes = problem(0)
    with pytest.raises(ValueError, match=r"labels must be 160 classes of 0 … 4, got int64 \(160,\)"):
        transfer.eszsl(z, y, codes[:5])
    with pytest.raises(ValueError, match="features must be finite"):
        transfer.eszsl(z * np.nan, y, codes)
    with pytest.raises(ValueError, match="gamma > 0 and lam > 0"):
        transfer.eszsl(z, y, codes, gamma=0)
    with pytest.raises(ValueError, match=r"attributes must be finite, \(C, A\), got \(4,\)"):
        transfer.Compatibility(3, [1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"on: needs 4 attributes a class, got 3"):
        transfer.eszsl(z, y, codes).on(codes[:, :3])


def test_planted_errors_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a regulariser, with them the wrong way round, and with 0 for −1."""
    real = zero_shot.solved
    planted = {
        "γ and λ": lambda Z, Y, S, γ, λ: real(Z, Y, S, λ, γ),
        "no λ": lambda Z, Y, S, γ, λ: real(Z, Y, S, γ, 0.0),
        "one-hot": lambda Z, Y, S, γ, λ: real(Z, (Y + 1) / 2, S, γ, λ),
    }
    for wrong in planted.values():
        monkeypatch.setattr(zero_shot, "solved", wrong)
        with pytest.raises(AssertionError):
            test_the_closed_form_by_brute_force()


def test_a_classifier_without_attributes_knows_no_unseen_class() -> None:
    """The control: attributes dealt out to other classes."""
    right = []
    for seed in range(20):
        z, y, codes = problem(seed, noise=0.05)
        z_seen, y_seen, z_new, y_new = split(z, y, SEEN)
        dealt = codes[np.random.default_rng(seed).permutation(8)]
        head = transfer.eszsl(z_seen, y_seen, dealt[SEEN], 1e-3, 1e-3)
        right.append(transfer.class_accuracy(head.on(dealt[5:])(mm.tensor(z_new)), mm.tensor(y_new)))
    assert np.mean(right) < 0.6


class Zoo(nn.Module):
    """A trunk under a head for seen classes; `on` for others."""

    def __init__(self, codes: Any) -> None:
        self.trunk = nn.Sequential(nn.Linear(6, 16), nn.Tanh())
        self.head = transfer.Compatibility(16, codes)

    def forward(self, x: Any) -> Any:
        return self.head(self.trunk(x))


def test_gradients_of_the_head_reach_the_trunk() -> None:
    z, y, codes = problem(0)
    model = Zoo(codes)
    F.cross_entropy(model(mm.tensor(z.astype(np.float32))), mm.tensor(y)).backward()
    assert all(p.grad is not None and abs(p.grad.numpy()).max() > 0 for p in model.parameters())
