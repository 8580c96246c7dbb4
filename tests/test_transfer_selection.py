"""Scores of a source: naive definitions, bounds that theorems give, invariances, degenerate inputs; and what a ranking is good for."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim
from minimtl.transfer import selection as S

seeds = st.integers(0, 2**32 - 1)


def predicted(seed: int, N: int = 12, Z: int = 4, C: int = 3) -> Any:
    """Probabilities of the source's classes and labels of the target, every one of which occurs."""
    rng = np.random.default_rng(seed)
    θ = rng.exponential(size=(N, Z))
    return θ / θ.sum(axis=1, keepdims=True), np.concatenate([np.arange(C), rng.integers(0, C, N - C)])


def described(seed: int, N: int = 14, D: int = 3, C: int = 3) -> Any:
    """Features that say something of the labels, and the labels."""
    rng = np.random.default_rng(seed)
    _, y = predicted(seed, N, C=C)
    return rng.standard_normal((N, D)) + rng.standard_normal((C, D))[y], y


# Predictions


def naive_leep(θ: Any, y: Any) -> float:
    N, Z = θ.shape
    joint = {(c, z): sum(θ[i, z] for i in range(N) if y[i] == c) / N for c in set(y.tolist()) for z in range(Z)}
    mass = [θ[:, z].sum() / N for z in range(Z)]
    return float(np.mean([math.log(sum(joint[y[i], z] / mass[z] * θ[i, z] for z in range(Z))) for i in range(N)]))


def entropy(y: Any) -> float:
    p = np.bincount(y) / len(y)
    return -float(sum(v * math.log(v) for v in p if v))


@given(seeds)
def test_leep_is_its_definition_and_lies_between_the_bounds(seed: int) -> None:
    """At least −H(Y): it is one step of EM from a head that ignores z. At most the likelihood of the best such head, which EM finds."""
    θ, y = predicted(seed)
    found = S.leep(θ, y)
    assert found == pytest.approx(naive_leep(θ, y))
    assert -entropy(y) - 1e-9 <= found <= 0
    given_z = np.full((3, 4), 1 / 3)
    for _ in range(50):
        share = given_z[y] * θ
        share /= share.sum(axis=1, keepdims=True)
        given_z = np.eye(3)[y].T @ share / share.sum(axis=0)
    assert found <= np.log((given_z[y] * θ).sum(axis=1)).mean() + 1e-9


@given(seeds)
def test_of_certain_predictions_leep_is_nce(seed: int) -> None:
    θ, y = predicted(seed)
    z = θ.argmax(axis=1)
    assert S.leep(np.eye(4)[z], y) == pytest.approx(S.nce(z, y))


@given(seeds)
def test_leep_is_at_least_what_the_likeliest_source_class_gives(seed: int) -> None:
    """Nguyen et al., property 2: ≥ 1/N Σ ln P(yₙ|zₙ) + 1/N Σ ln θ[n, zₙ], P from θ and zₙ the largest."""
    θ, y = predicted(seed)
    z, n = θ.argmax(axis=1), np.arange(len(y))
    P = (np.eye(3)[y].T @ θ) / θ.sum(axis=0)
    assert S.leep(θ, y) >= np.log(P[y, z]).mean() + np.log(θ[n, z]).mean() - 1e-9


@given(seeds)
def test_nce_is_information_less_entropy(seed: int) -> None:
    θ, y = predicted(seed, 20)
    z = θ.argmax(axis=1)
    assert S.nce(z, y) == pytest.approx(mtl.relatedness.mutual_information(z, y) - entropy(y), abs=1e-9)
    assert -entropy(y) - 1e-9 <= S.nce(z, y) <= 0
    assert S.nce(y, y) == 0
    assert S.nce(np.zeros(20, int), y) == pytest.approx(-entropy(y))


def test_a_source_class_that_no_sample_is_given_counts_for_nothing() -> None:
    θ, y = predicted(0)
    assert S.leep(np.c_[θ, np.zeros(12)], y) == pytest.approx(S.leep(θ, y))
    assert S.leep(θ.astype(np.float32), mm.tensor(y)) == pytest.approx(S.leep(θ, y), abs=1e-6)


# Features


def naive_h_score(x: Any, y: Any) -> float:
    g = np.stack([x[y == c].mean(axis=0) for c in y])
    return float(np.trace(np.linalg.pinv(np.cov(x.T, bias=True), rcond=1e-10) @ np.cov(g.T, bias=True)))


@given(seeds)
def test_h_score_is_its_definition_and_no_invertible_map_changes_it(seed: int) -> None:
    x, y = described(seed)
    found = S.h_score(x, y)
    assert found == pytest.approx(naive_h_score(x, y), rel=1e-6)
    assert 0 <= found <= 2 + 1e-9
    rng = np.random.default_rng(seed)
    turn = [np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(2)]
    assert S.h_score(x @ turn[0] @ np.diag([0.1, 1, 30]) @ turn[1] + 5, y) == pytest.approx(found, rel=1e-6)
    assert S.h_score(np.c_[x, x[:, 0] + x[:, 1], np.ones(len(x))], y) == pytest.approx(naive_h_score(x, y), rel=1e-6)


@given(seeds, st.floats(-8, 8), st.floats(-8, 8), st.integers(1, 20))
def test_no_evidence_is_larger_than_logme(seed: int, a: float, b: float, D: int) -> None:
    x, y = described(seed, 12, D)
    most = S.log_me(x, y)
    others = [S.evidence(x, (y == k).astype(float), math.exp(a), math.exp(b)) for k in range(3)]
    assert np.mean(others) <= most + 1e-9


@given(seeds, st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 16))
def test_evidence_is_the_density_of_the_targets(seed: int, a: float, b: float, D: int) -> None:
    """y ~ N(0, xxᵀ/α + I/β), which has no weights in it."""
    x, _ = described(seed, 9, D)
    y, α, β = np.random.default_rng(seed).standard_normal(9), math.exp(a), math.exp(b)
    C = x @ x.T / α + np.eye(9) / β
    want = -0.5 * (9 * math.log(2 * math.pi) + np.linalg.slogdet(C)[1] + y @ np.linalg.solve(C, y))
    assert S.evidence(x, y, α, β) == pytest.approx(want / 9, rel=1e-7, abs=1e-9)


def fixed_point(x: Any, y: Any) -> float:
    """The iteration of the paper, until it stands still."""
    α = β = 1.0
    s, N = np.linalg.eigvalsh(x.T @ x), len(y)
    for _ in range(200):
        m = β * np.linalg.solve(α * np.eye(x.shape[1]) + β * x.T @ x, x.T @ y)
        γ = (β * s / (α + β * s)).sum()
        α, β = γ / (m @ m), (N - γ) / ((x @ m - y) ** 2).sum()
    return S.evidence(x, y, α, β)


def test_the_papers_iteration_ends_where_logme_does() -> None:
    for seed in range(3):
        x, y = described(seed, 40)
        want = np.mean([fixed_point(x, (y == k).astype(float)) for k in range(3)])
        assert S.log_me(x, y) == pytest.approx(want, abs=1e-6)


@given(seeds, st.floats(0.01, 100))
def test_logme_minds_no_turn_and_no_scale(seed: int, scale: float) -> None:
    x, y = described(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    assert S.log_me(scale * x @ turn, y) == pytest.approx(S.log_me(x, y), abs=1e-6)
    assert S.log_me(np.c_[x, np.zeros((len(x), 2))], y) == pytest.approx(S.log_me(x, y), abs=1e-9)


def test_logme_of_a_regression_is_of_its_targets() -> None:
    x, _ = described(0)
    t = np.random.default_rng(1).standard_normal((14, 2))
    assert S.log_me(x, t) == pytest.approx((S.log_me(x, t[:, 0]) + S.log_me(x, mm.tensor(t[:, 1]))) / 2)
    assert S.log_me(x, x @ [1.0, 2.0, 3.0] + 0.1 * t[:, 0]) > S.log_me(x, t[:, 0])


@pytest.mark.parametrize("score", [S.h_score, S.log_me])
def test_features_that_say_nothing_give_a_finite_number(score: Any) -> None:
    _, y = described(0)
    x = np.random.default_rng(0).standard_normal((14, 40))
    for features in (np.zeros((14, 3)), np.full((14, 3), 0.1), x, np.eye(3)[y], np.repeat(x[:, :1], 3, axis=1)):
        assert math.isfinite(score(features, y))
    assert S.h_score(np.full((14, 3), 0.1), y) == 0
    assert S.h_score(x, y) == pytest.approx(2)  # more features than samples: as good as it gets, of noise


# Orders


def naive_tau(a: Any, b: Any) -> float:
    """By the rank in a, ties by b, and the other way round."""
    found = []
    for first, then in ((a, b), (b, a)):
        order = sorted(range(len(a)), key=lambda i: (first[i], then[i]), reverse=True)
        rank = {i: r for r, i in enumerate(order)}
        up = left = right = 0.0
        for i in range(len(a)):
            for j in range(i):
                w = 1 / (rank[i] + 1) + 1 / (rank[j] + 1)
                da, db = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
                up, left, right = up + w * da * db, left + w * abs(da), right + w * abs(db)
        found.append(up / math.sqrt(left * right))
    return float(np.mean(found))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8))
def test_weighted_tau_is_its_definition(pairs: list[tuple[int, int]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    found = S.weighted_tau(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(found)
        return
    assert found == pytest.approx(naive_tau(a, b))
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    assert S.weighted_tau(b, a) == pytest.approx(found)


def test_weighted_tau_of_scipys_example() -> None:
    assert S.weighted_tau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]) == pytest.approx(-0.56694968153682723)
    assert S.weighted_tau([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert S.weighted_tau([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)


def test_who_comes_first_matters_most() -> None:
    a = [5, 4, 3, 2, 1]
    assert S.weighted_tau(a, [4, 5, 3, 2, 1]) < S.weighted_tau(a, [5, 4, 3, 1, 2])


# Sources


class Turned(nn.Module):
    """x → columns of x and noise that hides them."""

    def __init__(self, noise: float) -> None:
        self.noise = noise
        self.linear = nn.Linear(4, 4, bias=False)
        self.linear.weight.data = mm.tensor(np.eye(4, dtype=np.float32))

    def forward(self, x: mm.Tensor) -> mm.Tensor:
        rng = np.random.default_rng(int(10 * self.noise))
        return self.linear(x) + mm.tensor((self.noise * rng.standard_normal(x.shape)).astype(np.float32))


def problem(N: int = 120) -> tuple[mm.Tensor, Any]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    return mm.tensor((rng.standard_normal((N, 4)) * 0.4 + 2 * np.eye(3, 4)[y]).astype(np.float32)), y


def sources() -> dict[str, S.Source]:
    x, _ = problem()
    return {
        f"noise {noise}": S.Source(Turned(noise), nn.Linear(4, 3), accuracy=1 - noise / 10, inputs=x + noise)
        for noise in (3.0, 0.0, 1.0, 8.0)
    }


def test_sources_are_ranked_as_they_are_good_for_the_target() -> None:
    """The planted order: the more noise, the worse; and so it is after a head has been fitted to each."""
    x, y = problem()
    good = sources()
    before = {k: v.numpy().copy() for s in good.values() for k, v in s.trunk.state_dict().items()}
    ranking = S.rank(good, x, y, reference=x, generator=mm.Generator(0))
    want = ["noise 0.0", "noise 1.0", "noise 3.0", "noise 8.0"]
    for by in ("LogME", "H-score", "CKA", "accuracy"):
        assert ranking.order(by) == want, by
    assert ranking.order("A-distance")[0] == "noise 0.0" and ranking.scores["A-distance"]["noise 8.0"] > 1
    after = {}
    for name, source in good.items():
        mm.manual_seed(0)
        head = nn.Linear(4, 3)
        with mm.no_grad():
            z = source.trunk(x)
        task = mtl.Task("y", nn.CrossEntropyLoss(), metrics=["accuracy"])
        trainer = mtl.Trainer(head, [task], optim.Adam(head.parameters(), lr=0.1))
        trainer.fit([(z, mm.tensor(y))] * 40, verbose=False)
        after[name] = trainer.evaluate([(z, mm.tensor(y))])["y accuracy"]
    assert sorted(after, key=lambda k: -after[k]) == want
    τ = ranking.correlation(after)
    assert τ["LogME"] == τ["H-score"] == τ["accuracy"] == pytest.approx(1)
    assert S.weighted_tau([-v for v in after.values()], list(after.values())) == pytest.approx(-1)
    assert all((v.numpy() == before[k]).all() for s in good.values() for k, v in s.trunk.state_dict().items())


def test_the_table_has_performance_size_and_similarity() -> None:
    x, y = problem()
    ranking = S.rank({**sources(), "plain": S.Source(nn.Linear(4, 2))}, x, y)
    table = ranking.table()
    assert table.columns[:4] == ["source", "accuracy", "parameters", "multiply-adds"]
    assert [row[0] for row in table.rows] == ranking.order()
    assert table["plain"]["parameters"] == "10" and table["plain"]["multiply-adds"] == "8" and table["plain"]["LEEP"] == ""
    assert table.number("noise 0.0", "LEEP") < 0
    assert ranking.order("parameters")[0] == "plain"
    assert set(ranking.correlation(dict.fromkeys(ranking.sources, 1.0) | {"plain": 0.0})) == {
        "parameters", "multiply-adds", "LogME", "H-score"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: S.leep(np.ones((4, 2)), np.array([0, 1, 0, 1])), "each row of which adds up to 1"),
        (lambda: S.leep(np.full((4, 2), 0.5), np.zeros(4, int)), "two classes at least"),
        (lambda: S.nce([0, 1, 1], [0, 1]), "a label for each sample, got 2 and 3"),
        (lambda: S.nce([0.5, 1], [0, 1]), r"labels must be integers \(N,\)"),
        (lambda: S.h_score(np.ones((4, 2)), np.ones(4, int)), "two classes at least"),
        (lambda: S.h_score(np.full((4, 2), np.nan), np.array([0, 1, 0, 1])), "finite numbers"),
        (lambda: S.h_score(np.ones((3, 2)), np.array([0, 1, 0, 1])), "got 4 and 3"),
        (lambda: S.log_me(np.ones((4, 2)), np.zeros(4)), "none may be 0 throughout"),
        (lambda: S.log_me(np.ones((4, 2)), np.ones((4, 2, 2))), r"\(N,\) or \(N, K\)"),
        (lambda: S.evidence(np.ones((4, 2)), np.ones(4), 0, 1), "α > 0 and β > 0"),
        (lambda: S.weighted_tau([1], [1]), "at least two"),
        (lambda: S.rank({}, mm.ones(2, 2), [0, 1]), "at least one source"),
        (lambda: S.Ranking({"a": S.Source(nn.ReLU())}, {}).correlation({"b": 1}), "a value for each of"),
    ],
)
def test_what_cannot_be_scored_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(KeyError, match="no score 'x'"):
        S.Ranking({}, {"LogME": {}}).order("x")


# Planted errors


def test_planted_errors_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directions that are not told from rounding, and an evidence at the variances of the start."""
    with monkeypatch.context() as patch:
        patch.setattr(S, "directions", lambda x, y=None: (*np.linalg.svd(x, full_matrices=False)[:2], 0.0))
        with pytest.raises(AssertionError):
            test_h_score_is_its_definition_and_no_invertible_map_changes_it.hypothesis.inner_test(0)
    with monkeypatch.context() as patch:
        patch.setattr(S, "best_evidence", lambda x, y: S.evidence(x, y, 1.0, 1.0))
        with pytest.raises(AssertionError):
            test_no_evidence_is_larger_than_logme.hypothesis.inner_test(0, 1.0, 3.0, 3)
