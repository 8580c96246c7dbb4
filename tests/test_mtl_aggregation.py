"""Aggregations of the Jacobian: golden values, optimality conditions on thousands of random Jacobians, properties."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl.mtl import aggregation as A
from minimtl.mtl.aggregation import solvers
from minimtl.mtl.aggregation.optimal import worst_off
from minimtl.mtl.aggregation.spectral import balance

J0 = np.array([[-4.0, 1, 1], [6, 1, 1]])
GOLDEN = {  # of TorchJD
    "AlignedMTL": (A.AlignedMTL, [0.2133, 0.9673, 0.9673]),
    "ConFIG": (A.ConFIG, [0.1588, 2.0706, 2.0706]),
    "IMTLG": (A.IMTLG, [0.0767, 1.0, 1.0]),
    "MGDA": (A.MGDA, [0.0, 1.0, 1.0]),
    "PCGrad": (A.PCGrad, [0.5848, 3.8012, 3.8012]),
    "UPGrad": (lambda: A.UPGrad(reg_eps=1e-4), [0.2929, 1.9004, 1.9004]),
    "CAGrad": (lambda: A.CAGrad(c=0.5), [0.1835, 1.2041, 1.2041]),
    "NashMTL": (A.NashMTL, [0.0542, 0.7061, 0.7061]),
    "Mean": (A.Mean, [1.0, 1.0, 1.0]),
    "Sum": (A.Sum, [2.0, 2.0, 2.0]),
}
ALL: dict[str, Callable[[], A.Aggregation]] = {
    **{name: make for name, (make, _) in GOLDEN.items()},
    "GradVac": A.GradVac, "GradDrop": A.GradDrop, "MGDA l2": lambda: A.MGDA("l2"), "CAGrad 1": lambda: A.CAGrad(1.0),
}  # fmt: skip
INVARIANT = ["AlignedMTL", "ConFIG", "IMTLG", "MGDA", "UPGrad", "CAGrad", "NashMTL", "Mean", "Sum"]
every = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name: str) -> None:
    make, want = GOLDEN[name]
    np.testing.assert_allclose(make()(J0), want, atol=5e-5)


# Optimality conditions

KINDS = ("normal", "conflict", "low rank", "stationary", "scales")


def jacobian(kind: str, seed: int) -> Any:
    """A random Jacobian of two to eight tasks."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    K, P = rng.integers(2, 9), rng.integers(8, 20)
    J = rng.standard_normal((K, P))
    if kind == "conflict":
        J -= rng.uniform(0, 3) * J.mean(axis=0)
    elif kind == "low rank":
        J = rng.standard_normal((K, 2)) @ rng.standard_normal((2, P))
    elif kind == "stationary":
        J[-1] = -rng.uniform(0.1, 1, K - 1) @ J[:-1]
    elif kind == "scales":
        J *= 10.0 ** rng.uniform(-2, 2, (K, 1)) * 10.0 ** rng.uniform(-10, 15)
    return J


def many(kind: str, n: int = 1000) -> Iterator[Any]:
    return (jacobian(kind, seed) for seed in range(n))


kinds = pytest.mark.parametrize("kind", KINDS)


def gap_of_mgda(J: Any, w: Any) -> float:
    """How far w is from the Karush–Kuhn–Tucker conditions of the shortest combination."""
    G = J @ J.T / (J**2).sum(axis=1).max()
    return max(-w.min(), abs(w.sum() - 1), w @ G @ w - (G @ w).min())


@kinds
def test_mgda_is_the_shortest_combination(kind: str) -> None:
    worst = max(gap_of_mgda(J, A.MGDA().weights(A.gramian(J))) for J in many(kind))
    assert worst < 1e-9


def gap_of_cagrad(J: Any, c: float, v: Any = None) -> float:
    """The duality gap of CAGrad's problem, and how far d leaves the ball; relative to ‖g₀‖ times the longest gradient."""
    scale = np.sqrt((J**2).sum(axis=1).max())
    J = J / scale
    d = A.CAGrad(c)(J) if v is None else v(J)
    g0, κ = J.mean(axis=0), c * np.linalg.norm(J.mean(axis=0))
    if κ < 1e-7:
        return 0.0
    w = worst_off(J @ J.T, κ)
    gw = w @ J
    dual = gw @ g0 + κ * np.linalg.norm(gw)
    outside = np.linalg.norm(d - g0) - κ
    return max(0.0, dual - (J @ d).min(), outside)


@kinds
def test_cagrad_serves_the_worst_off_task_best(kind: str) -> None:
    radii = itertools.cycle((0.5, 1.5))
    assert max(gap_of_cagrad(J, next(radii)) for J in many(kind)) < 1e-6


@kinds
def test_nash_agrees(kind: str) -> None:
    """α ⊙ Gα is 1/‖G‖ for all, before the cut; where the point is stationary there is no bargain."""
    if kind in ("stationary", "low rank"):
        assert all(np.isfinite(A.NashMTL()(J)).all() for J in many(kind))
        return
    worst = 0.0
    for J in many(kind):
        J = J / (np.sqrt((J**2).sum(axis=1))[:, None] if kind == "scales" else 1)
        G = J @ J.T
        if np.linalg.cond(G) > 1e6:
            continue
        α = A.NashMTL(max_norm=np.inf).weights(G)
        worst = max(worst, np.abs(α * (G @ α) / np.linalg.norm(G) - 1).max())
    assert worst < 1e-6


@kinds
def test_imtl_g_has_equal_projections(kind: str) -> None:
    if kind in ("stationary", "low rank"):
        assert all(np.isfinite(A.IMTLG()(J)).all() for J in many(kind))
        return
    for J in many(kind):
        w = A.IMTLG().weights(A.gramian(J))
        unit = J / np.linalg.norm(J, axis=1)[:, None]
        if np.linalg.cond(unit) < 1e4:
            projections = unit @ (w @ J)
            scale = np.abs(w) @ np.linalg.norm(J, axis=1)
            assert np.ptp(projections) < 1e-6 * scale
            assert abs(w.sum() - 1) < 1e-9 * np.abs(w).sum()


@kinds
def test_aligned_mtl_makes_all_singular_values_equal(kind: str) -> None:
    for J in many(kind):
        J = J / np.abs(J).max()
        s = np.linalg.svd(balance(J @ J.T) @ J, compute_uv=False)
        kept = s[s > 1e-6 * s.max()] if s.max() > 0 else np.ones(1)
        if np.linalg.matrix_rank(J, tol=1e-5) == len(kept):
            assert np.ptp(kept) < 1e-6 * kept.max()


def naive_pcgrad(J: Any) -> Any:
    """Yu's algorithm as printed, on vectors; of two tasks."""
    out = np.zeros(J.shape[1])
    for k, g in enumerate(J):
        g = g.copy()
        for j, h in enumerate(J):
            if j != k and g @ h < 0:
                g -= (g @ h) / (h @ h) * h
        out += g
    return out


@kinds
def test_pcgrad_is_the_printed_algorithm(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the order fixed, of any number of tasks."""
    monkeypatch.setattr("minimtl.mtl.aggregation.conflict.others", lambda k, K, _: [j for j in range(K) if j != k])
    for J in many(kind):
        np.testing.assert_allclose(A.PCGrad()(J), naive_pcgrad(J), rtol=1e-7, atol=1e-8 * np.abs(J).max())


@kinds
def test_upgrad_projects_on_the_dual_cone(kind: str) -> None:
    """v ≥ u, Gv ≥ 0, complementary: Moreau's decomposition."""
    for J in many(kind):
        G = J @ J.T
        G = G / np.abs(G).max()
        for u in np.eye(len(G)):
            v = u + solvers.nonnegative_qp(G, -G @ u)
            assert (v >= u).all()
            assert (G @ v).min() > -1e-9 * max(1, np.abs(v).max())
            assert np.abs((v - u) * (G @ v)).max() < 1e-8 * max(1, np.abs(v).max() ** 2)


def test_wrong_solutions_are_noticed() -> None:
    """The conditions above fail for what is nearly right."""
    w = A.MGDA().weights(A.gramian(J0))
    assert gap_of_mgda(J0, w) < 1e-12 < 1e-4 < gap_of_mgda(J0, 1.001 * w)
    assert gap_of_mgda(J0, np.array([0.5, 0.5])) > 1e-4
    assert gap_of_cagrad(J0, 0.5) < 1e-9 < 1e-5 < gap_of_cagrad(J0, 0.5, lambda J: 1.001 * A.CAGrad(0.5)(J))
    assert gap_of_cagrad(J0, 0.5, lambda J: J.mean(axis=0)) > 1e-4


# Properties


@st.composite
def jacobians(draw: st.DrawFn, scales: bool = True) -> Any:
    """Of float64 or float32, of any rank, with rows that are 0 or the same, of any scale."""
    K, P = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    J = np.array(draw(st.lists(st.integers(-9, 9), min_size=K * P, max_size=K * P)), dtype=float).reshape(K, P)
    if scales:
        J = J * 10.0 ** draw(st.integers(-10, 15))
    return J.astype(draw(st.sampled_from(["float32", "float64"])))


@every
@given(J=jacobians())
def test_finite_for_whatever_comes(make: Any, J: Any) -> None:
    d = make()(J)
    assert (d.shape, d.dtype) == (J.shape[1:], J.dtype)
    assert np.isfinite(d).all()


@every
def test_no_gradient_gives_no_direction(make: Any) -> None:
    for shape in ((1, 1), (4, 3), (9, 11)):
        assert (make()(np.zeros(shape)) == 0).all()


@every
@given(g=st.lists(st.integers(-9, 9), min_size=1, max_size=5).filter(any))
def test_one_task_alone_gets_its_gradient(make: Any, g: list[int]) -> None:
    """Nash-MTL's is cut to the length 1; MGDA on directions gives the direction."""
    J = np.array([g], dtype=float)
    d, length = make()(J), np.linalg.norm(g)
    unit = isinstance(make(), A.MGDA) and make().normalization
    np.testing.assert_allclose(d, J[0] / length if unit or (isinstance(make(), A.NashMTL) and length > 1) else J[0], rtol=1e-9)


@every
@given(K=st.integers(2, 5), g=st.lists(st.integers(-9, 9), min_size=1, max_size=4).filter(any))
def test_identical_tasks_move_along_their_gradient(make: Any, K: int, g: list[int]) -> None:
    d = make()(np.array([g] * K, dtype=float))
    assert d @ g == pytest.approx(np.linalg.norm(d) * np.linalg.norm(g), rel=1e-6)
    assert np.linalg.norm(d) > 0


@pytest.mark.parametrize("name", INVARIANT)
@given(J=jacobians(scales=False), random=st.randoms(use_true_random=False))
def test_the_order_of_tasks_makes_no_difference(name: str, J: Any, random: Any) -> None:
    J, order = J.astype(float), list(range(len(J)))
    random.shuffle(order)
    one, other = ALL[name]()(J), ALL[name]()(J[order])
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(J).max()))


@pytest.mark.parametrize(
    "make", [A.MGDA, A.UPGrad, lambda: A.CAGrad(1.0), lambda: A.CAGrad(2.0)], ids=["MGDA", "UPGrad", "CAGrad 1", "CAGrad 2"]
)
@given(J=jacobians())
def test_no_task_is_opposed(make: Any, J: Any) -> None:
    J = J.astype(float)
    d = make()(J)
    assert (J @ d).min() >= -1e-9 * np.abs(J).max() ** 2


@pytest.mark.parametrize("name", ["Mean", "Sum", "UPGrad", "ConFIG"])
@given(J=jacobians(scales=False), c=st.lists(st.floats(0.1, 10), min_size=10, max_size=10))
def test_linear_under_scaling(name: str, J: Any, c: list[float]) -> None:
    """A(diag(a + b) J) = A(diag(a) J) + A(diag(b) J) for a, b > 0, where gradients are independent."""
    J = J.astype(float)
    K = len(J)
    if np.linalg.matrix_rank(J) < K or np.linalg.cond(J) > 1e3:
        return
    a, b = np.array(c[:K]), np.array(c[5 : 5 + K])
    A_ = A.UPGrad() if name == "UPGrad" else ALL[name]()  # in the table it is regularised, and linear only nearly
    both, each = A_((a + b)[:, None] * J), A_(a[:, None] * J) + A_(b[:, None] * J)
    np.testing.assert_allclose(both, each, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(both).max()))


@every
@given(J=jacobians(scales=False), power=st.integers(-10, 15))
def test_scaling_all_gradients_scales_the_direction(make: Any, J: Any, power: int) -> None:
    """But for Nash-MTL's cut; MGDA on directions gives the same."""
    if isinstance(make(), A.NashMTL):
        make = lambda: A.NashMTL(max_norm=1e300)  # noqa: E731
    J, factor = J.astype(float), 1.0 if isinstance(make(), A.MGDA) and make().normalization else 10.0**power
    mm.manual_seed(0)
    one = make()(J)
    mm.manual_seed(0)
    other = make()(J * 10.0**power) / factor
    coarse = (
        1e-2 if isinstance(make(), A.CAGrad) else 1e-4
    )  # where the point is all but Pareto stationary it stops, or does not
    np.testing.assert_allclose(other, one, rtol=1e-3, atol=coarse * max(1.0, np.abs(J).max()))


def test_two_tasks_of_pcgrad_are_twice_upgrad() -> None:
    for J in many("normal", 200):
        if len(J) == 2:
            np.testing.assert_allclose(A.PCGrad()(J), 2 * A.UPGrad()(J), rtol=1e-7)


def test_gradvac_starts_as_pcgrad_remembers_and_forgets() -> None:
    vac = A.GradVac(beta=0.5)
    np.testing.assert_allclose(vac(J0), A.PCGrad()(J0))
    assert vac.target[0, 1] == pytest.approx(0.5 * A.cosines(A.gramian(J0))[0, 1])
    friendly = np.array([[1.0, 0.1], [1.0, -0.1]])
    later = [vac(friendly) for _ in range(20)][-1]
    assert vac.target[0, 1] > 0.9
    assert np.abs(later - friendly.sum(axis=0)).max() < 1e-6
    vac.reset()
    np.testing.assert_allclose(vac(J0), A.PCGrad()(J0))


def test_gradvac_brings_the_cosine_to_its_target() -> None:
    vac = A.GradVac(beta=0)
    vac.target = {(0, 1): 0.6, (1, 0): 0.6}
    J = np.array([[1.0, 0.0], [-0.5, 1.0]])
    H = dict(vac.target)
    w0 = A.conflict.vaccine(1.0, np.linalg.norm(J[1]), J[0] @ J[1] / np.linalg.norm(J[1]), 0.6)
    turned = J[0] + w0 * J[1]
    assert turned @ J[1] / np.linalg.norm(turned) / np.linalg.norm(J[1]) == pytest.approx(0.6)
    vac(J)
    assert vac.target == H


def test_gradvac_tells_pairs_apart_when_tasks_are_absent() -> None:
    vac, rng = A.GradVac(), np.random.default_rng(0)
    J = {k: rng.normal(size=4) for k in "abc"}
    for now in ("ab", "bc", "ac"):
        vac.rows = list(now)
        vac(np.stack([J[k] for k in now]))
    c = A.cosines(A.gramian(np.stack([*J.values()])))
    for (j, a), (k, b) in (((0, "a"), (1, "b")), ((1, "b"), (2, "c")), ((0, "a"), (2, "c"))):
        assert vac.target[a, b] == pytest.approx(0.5 * c[j, k])


def test_cagrad_beside_a_gradient_of_0_serves_the_others() -> None:
    np.testing.assert_allclose(A.CAGrad()(np.array([[0.0, 0.0], [1.0, 2.0]])), [0.5, 1.0])
    J = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 1.0]])
    d = A.CAGrad(0.9)(J)
    assert (J @ d >= -1e-12).all() and np.linalg.norm(d) > 0
    assert np.linalg.norm(d - J.mean(axis=0)) <= 0.9 * np.linalg.norm(J.mean(axis=0)) + 1e-12


def test_graddrop_keeps_one_sign_in_proportion() -> None:
    J = np.tile([[3.0], [-1.0]], (1, 20_000))
    d = A.GradDrop(mm.Generator(0))(J)
    assert set(d) == {3.0, -1.0}
    assert abs((d == 3).mean() - 0.75) < 6 * np.sqrt(0.75 * 0.25 / 20_000)


def test_random_orders_come_from_the_seed() -> None:
    J = np.random.default_rng(0).standard_normal((6, 3))
    for make in (A.PCGrad, A.GradVac, A.GradDrop):
        runs = {tuple(make(generator=mm.Generator(seed))(J)) for seed in (1, 1, 2)}
        assert len(runs) == 2


def test_cagrad_between_the_mean_and_mgda() -> None:
    np.testing.assert_allclose(A.CAGrad(0)(J0), A.Mean()(J0))
    d, shortest = A.CAGrad(1e6)(J0), A.MGDA()(J0)
    np.testing.assert_allclose(d / np.linalg.norm(d), shortest / np.linalg.norm(shortest), atol=1e-5)


def test_the_gramian_of_many_columns_is_precise() -> None:
    J = np.random.default_rng(0).standard_normal((3, 300_001)).astype(np.float32)
    exact = J.astype(float) @ J.T.astype(float)
    np.testing.assert_allclose(A.gramian(J), exact, rtol=1e-7, atol=1e-7 * exact.max())
    for scale in (1e-30, 1e25):
        found = A.gramian((J * np.float32(scale)).astype(np.float32)) / scale / scale
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6 * exact.max())


@pytest.mark.parametrize(
    ("J", "error", "said"),
    [
        (np.ones(3), ValueError, r"PCGrad: J must be floating-point \(K, P\), .* got float64 \(3,\)"),
        (np.ones((0, 3)), ValueError, r"got float64 \(0, 3\)"),
        (np.ones((2, 3), dtype=int), ValueError, r"got int64 \(2, 3\)"),
        ([[1.0]], ValueError, "got list"),
        (
            np.array([[1.0, 2], [np.nan, 0]]),
            FloatingPointError,
            r"the gradients of tasks \[1\], counted from 0, are not finite",
        ),
    ],
)
def test_what_is_no_jacobian_is_refused(J: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        A.PCGrad()(J)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: A.PCGrad("max"), "reduction must be 'sum' or 'mean'"),
        (lambda: A.GradVac(2), r"beta must lie in \[0, 1\]"),
        (lambda: A.MGDA("l1"), "normalization must be None or 'l2'"),
        (lambda: A.CAGrad(-1), "c must be finite and not negative"),
        (lambda: A.NashMTL(0), "max_norm must be greater than 0"),
        (lambda: A.UPGrad(-1), "reg_eps must not be negative"),
    ],
)
def test_options_that_mean_nothing_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
