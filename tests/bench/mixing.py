"""What an aggregation costs beside the backward passes that it needs: K tasks on the trunk of a ResNet-18, 11,176,512 parameters.

Bare: ∂Lₖ/∂φ for each of K tasks, one pass each. Whole: `mtl.backward`, the same passes, θₖ's gradients, the method, and the direction
written to φ. The two take turns; the ratio is the median over rounds. Batch and side are those of the fourth document's listing, 32
pictures of 128 × 128. Beside them stands what the method takes on gradients that are there, which a busy machine disturbs less.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minimtl as mm
from minimtl import models, mtl, nn
from minimtl.mtl import aggregation as A
from minimtl.mtl.gradients import direction

K, BATCH, SIDE = 3, 32, 128
METHODS: dict[str, Callable[[], A.Aggregation]] = {
    "Mean": A.Mean, "PCGrad": A.PCGrad, "GradVac": A.GradVac, "GradDrop": A.GradDrop, "MGDA": A.MGDA, "CAGrad": A.CAGrad,
    "Nash-MTL": A.NashMTL, "UPGrad": A.UPGrad, "IMTL-G": A.IMTLG, "ConFIG": A.ConFIG, "Aligned-MTL": A.AlignedMTL,
}  # fmt: skip


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(rounds: int = 3) -> None:
    """Print, for each method, the whole beside the bare passes."""
    mm.manual_seed(0)
    model = mtl.HardSharing(models.resnet18(include_top=False), {str(k): nn.Linear(512, 10) for k in range(K)})
    φ, θ = list(model.shared_parameters()), {k: list(model.task_parameters(k)) for k in model.heads}
    x, y = mm.randn(BATCH, 3, SIDE, SIDE), mm.randint(10, (BATCH,))

    def losses() -> dict[str, mm.Tensor]:
        return {k: nn.functional.cross_entropy(ŷ, y) for k, ŷ in model(x).items()}

    def bare() -> float:
        L = losses()
        return seconds(lambda: [mm.grad(loss, φ, retain_graph=True) for loss in L.values()])

    print(
        f"{sum(p.numel() for p in φ):,} parameters in φ, {K} tasks, batch {BATCH} at {SIDE} × {SIDE}, NumPy {np.__version__}\n"
    )
    print("| method | K passes, s | whole, s | ratio | method, ms | 1 + method/passes |\n|---|---|---|---|---|---|")
    bare()
    rng = np.random.default_rng(0)
    parts = [[rng.standard_normal(p.numel(), dtype=np.float32) for _ in range(K)] for p in φ]
    for name, make in METHODS.items():
        times = []
        for _ in range(rounds):
            without, L = bare(), losses()
            model.zero_grad()
            times.append((without, seconds(lambda L=L, make=make: mtl.backward(L, φ, θ, make()))))  # type: ignore[misc]
        alone = statistics.median(seconds(lambda make=make: direction(parts, φ, make())) for _ in range(3))  # type: ignore[misc]
        a, b = (statistics.median(t) for t in zip(*times, strict=True))
        ratio = statistics.median(w / o for o, w in times)
        print(f"| {name} | {a:.2f} | {b:.2f} | {ratio:.3f} | {1e3 * alone:.0f} | {1 + alone / a:.3f} |", flush=True)
