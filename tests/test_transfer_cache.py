"""Features are kept while nothing can change them, with the same results; and not a step longer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minimtl as mm
from minimtl import data, mtl, nn, optim, transfer
from minimtl.data import DataLoader, TensorDataset


class Counted(nn.Module):
    """A trunk that counts the samples it sees."""

    def __init__(self) -> None:
        self.conv, self.bn, self.drop, self.seen = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), 0
        for p in self.conv.parameters():
            p.data = coarse(p)

    def forward(self, x: Any) -> Any:
        self.seen += len(x)
        return self.drop(self.bn(self.conv(x)).relu()).mean(dim=(2, 3))


def coarse(t: mm.Tensor) -> mm.Tensor:
    """In eighths: products of matrices are exact, so that no bit depends on where in a batch a sample stands."""
    return mm.tensor(np.round(t.numpy() * 8) / 8)


def trunk() -> Counted:
    mm.manual_seed(0)
    return Counted()


def samples(n: int = 23) -> TensorDataset:
    mm.manual_seed(1)
    return TensorDataset(coarse(mm.randn(n, 1, 6, 6)), mm.randint(2, (n,)))


def loader(dataset: Any = None, **options: Any) -> DataLoader:
    return DataLoader(dataset or samples(), 5, **({"shuffle": True} | options))


def run(φ: nn.Module, batches: Any, epochs: int = 3, validation: Any = None) -> tuple[dict[str, bytes], list[float]]:
    """The head after training, and the losses."""
    mm.manual_seed(2)
    model = mtl.HardSharing(φ, {"y": nn.Linear(3, 2)})
    task = mtl.Task("y", nn.CrossEntropyLoss(), metrics=["accuracy"])
    trainer = mtl.Trainer(model, [task], optim.Adam(model.parameters(), lr=0.01))
    history = trainer.fit(batches, epochs, validation, verbose=False)
    return {name: t.array.tobytes() for name, t in model.heads.state_dict().items()}, history["loss"]


@pytest.mark.parametrize(
    "options",
    [{}, {"shuffle": False}, {"drop_last": True}, {"generator": None}, {"sampler": range(22, -1, -2), "shuffle": False}],
)
def test_the_head_is_the_same_with_and_without_and_the_trunk_runs_once(options: Any) -> None:
    if "generator" in options:
        options = {"generator": mm.Generator(3)}
    plain, losses = run(transfer.freeze(trunk()), loader(**options))
    if "generator" in options:
        options = {"generator": mm.Generator(3)}
    φ = transfer.freeze(trunk())
    cache = transfer.FeatureCache(φ)
    batches = cache.over(loader(**options))
    cached, same = run(cache, batches)
    assert cached == plain and same == losses
    assert φ.seen == 23 and batches.reason == ""


def test_it_serves_validation_too_and_labels_of_many_tasks() -> None:
    x, y = samples().tensors

    class Two(data.Dataset):
        def __len__(self) -> int:
            return len(x.array)

        def __getitems__(self, i: Any) -> Any:
            return x[i], {"y": y[i], "z": (y[i], y[i])}

    φ = transfer.freeze(trunk())
    cache = transfer.FeatureCache(φ)
    run(cache, cache.over(loader(Two())), validation=cache.over(loader(Two())))
    assert φ.seen == 2 * 23


class Flip:
    """A transform that says it is random."""

    random = True

    def __call__(self, x: Any) -> Any:
        return x


def noisy() -> Any:
    """A data set that draws anew and does not say so."""
    x, y = samples().tensors

    class Drawn(data.Dataset):
        def __len__(self) -> int:
            return 23

        def __getitems__(self, i: Any) -> Any:
            return x[i] + mm.randn(len(i), 1, 6, 6), y[i]

    return Drawn()


class Pictures(data.Dataset):
    """A data set with a transform."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 23

    def __getitems__(self, i: Any) -> Any:
        x, y = samples().tensors
        return x[i], y[i]


OFF: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any], str]] = {
    "φ trains": (trunk, samples, "parameters of the trunk require gradients"),
    "statistics move": (lambda: trunk().requires_grad_(False), samples, "in training mode are"),
    "augmentation": (lambda: transfer.freeze(trunk()), lambda: Pictures(data.transforms.Compose([Flip()])), "Flip draws"),
    "a part of it": (lambda: transfer.freeze(trunk()), lambda: data.Subset(Pictures(Flip()), range(23)), "Flip draws"),
    "noise": (lambda: transfer.freeze(trunk()), noisy, "the data set draws samples anew"),
}


@pytest.mark.parametrize(("make", "dataset", "why"), OFF.values(), ids=OFF)
def test_it_is_off_where_features_change_and_then_nothing_differs(make: Any, dataset: Any, why: str) -> None:
    plain, losses = run(make(), loader(dataset()))
    cache = transfer.FeatureCache(make())
    batches = cache.over(loader(dataset()))
    cached, same = run(cache, batches)
    assert why in batches.reason and batches.kept is None
    assert cached == plain and same == losses


def test_what_happens_to_the_trunk_is_noticed() -> None:
    φ = transfer.freeze(trunk())
    cache = transfer.FeatureCache(φ)
    batches = cache.over(loader())

    def first() -> Any:
        x, _ = next(iter(batches))
        return cache(x).numpy().copy()

    mm.manual_seed(5)
    before, n = first(), φ.seen
    mm.manual_seed(5)
    assert (first() == before).all() and φ.seen == n
    for change in (
        lambda: φ.load_state_dict({k: v * 2 for k, v in φ.state_dict().items()}),
        lambda: φ.bn.running_mean.add_(1.0),
    ):
        change()
        mm.manual_seed(5)
        after = first()
        assert not np.allclose(after, before)
        before = after
    transfer.unfreeze(φ)
    assert not isinstance(next(iter(batches))[0], transfer.cache.Features) and batches.reason


def test_features_of_another_trunk_and_other_loaders_are_refused() -> None:
    one, other = (transfer.FeatureCache(transfer.freeze(trunk())) for _ in range(2))
    x, _ = next(iter(one.over(loader())))
    with pytest.raises(ValueError, match="these features are of another trunk"):
        other(x)
    with pytest.raises(TypeError, match=r"over\(\) needs a DataLoader, got list"):
        one.over([])
