"""Aggregations beside TorchJD's, on random Jacobians. Its solvers stop early or regularise: the tolerances say how much."""

from typing import Any

import numpy as np
import pytest
from test_mtl_aggregation import jacobian

from minimtl.mtl import aggregation as A

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:You are solving")]
torchjd = pytest.importorskip("torchjd.aggregation")
torch = pytest.importorskip("torch")

PAIRS = {  # ours, TorchJD's, tolerance relative to the longest gradient
    "Mean": (A.Mean, lambda: torchjd.Mean(), 1e-12),
    "PCGrad": (A.PCGrad, lambda: torchjd.PCGrad(), 1e-10),  # of two tasks: of more the orders are drawn differently
    "IMTLG": (A.IMTLG, lambda: torchjd.IMTLG(), 1e-6),
    "AlignedMTL": (A.AlignedMTL, lambda: torchjd.AlignedMTL(), 1e-6),
    "ConFIG": (A.ConFIG, lambda: torchjd.ConFIG(), 1e-6),
    "UPGrad": (lambda: A.UPGrad(reg_eps=1e-4), lambda: torchjd.UPGrad(), 1e-6),
    "MGDA": (A.MGDA, lambda: torchjd.MGDA(epsilon=1e-9, max_iters=3000), 1e-2),  # Frank and Wolfe's steps converge slowly
    "CAGrad": (A.CAGrad, lambda: torchjd.CAGrad(c=0.5), 1e-4),
    "NashMTL": (A.NashMTL, None, 1e-6),  # of nine in ten: some of its runs stop before they have converged
}


def of_torchjd(name: str, make: Any, J: Any) -> Any:
    """TorchJD's direction; Nash-MTL is made for a number of tasks."""
    aggregator = torchjd.NashMTL(n_tasks=len(J), optim_niter=100) if name == "NashMTL" else make()
    return aggregator(torch.tensor(J)).numpy()


def gaps(name: str, n: int) -> list[float]:
    """How far the two are apart, relative to the longest gradient, on n Jacobians whose rows are independent."""
    ours, theirs, _ = PAIRS[name]
    found = []
    seed = 0
    while len(found) < n:
        J = jacobian("normal", seed)
        seed += 1
        if name == "PCGrad":
            J = J[:2]
        if name == "NashMTL" and len(J) > 4:
            continue
        found.append(float(np.abs(ours()(J) - of_torchjd(name, theirs, J)).max() / np.linalg.norm(J, axis=1).max()))
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_directions_are_torchjds(name: str) -> None:
    needs = {"CAGrad": "cvxpy", "NashMTL": "cvxpy", "UPGrad": "quadprog"}
    if name in needs:
        pytest.importorskip(needs[name])
    found = gaps(name, {"MGDA": 30, "NashMTL": 100}.get(name, 1000))
    assert np.quantile(found, 0.9 if name == "NashMTL" else 1) < PAIRS[name][2]
