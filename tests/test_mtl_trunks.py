"""Trunks of symbols and of tokens."""

from typing import Any

import numpy as np
import pytest

import minimtl as mm
from minimtl import mtl, nn


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


def test_dense_features_stand_behind_the_embeddings() -> None:
    mm.manual_seed(0)
    trunk = mtl.SharedEmbedding([4, 7], [2, 3], dense=2)
    x, d = mm.tensor([[0, 6], [3, 0]]), mm.randn(2, 2)
    z = trunk((x, d))
    assert z.shape == (2, trunk.out_features) == (2, 7)
    assert (z.numpy()[:, 5:] == d.numpy()).all()
    for given in (x, (x, mm.randn(2, 3))):
        with pytest.raises(ValueError, match=r"needs dense features of shapes \[\(2, 2\)\]"):
            trunk(given)
    with pytest.raises(ValueError, match="dense must not be negative"):
        mtl.SharedEmbedding([2], 2, dense=-1)


def test_users_items_and_dense_features_are_learnt_from() -> None:
    """What user and item say by their number, and what the dense feature says."""
    mm.manual_seed(0)
    model = mtl.HardSharing(mtl.SharedEmbedding([6, 8], 4, dense=1), {"click": nn.Linear(9, 2), "stay": nn.Linear(9, 1)})
    x, d = mm.cat([mm.randint(6, (200, 1)), mm.randint(8, (200, 1))], dim=1), mm.randn(200, 1)
    y: dict[str, Any] = {"click": (x[:, 0] > 2).long(), "stay": 2 * d}
    tasks = [mtl.Task("click", nn.CrossEntropyLoss(), metrics=["accuracy"]), mtl.Task("stay", nn.MSELoss())]
    trainer = mtl.Trainer(model, tasks, mm.optim.Adam(model.parameters(), lr=0.05))
    history = trainer.fit([((x, d), y)] * 5, epochs=20, verbose=False)
    assert history["click accuracy"][-1] > 0.95
    assert history["stay loss"][-1] < 0.1


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that takes padding for tokens."""
    real = mtl.SharedEncoder
    monkeypatch.setattr(mtl, "SharedEncoder", lambda padding, **options: real(**options))
    with pytest.raises(AssertionError):
        test_an_encoder_minds_the_order_of_tokens_but_not_padding()
