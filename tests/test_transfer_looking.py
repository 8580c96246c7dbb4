"""What in the input a class depends on."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, plot, transfer
from minimtl.transfer import looking

seeds = st.integers(0, 2**32 - 1)


def network(seed: int = 0) -> nn.Sequential:
    mm.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(20, 3),
    )  # fmt: skip


def pictures(n: int = 4, seed: int = 0) -> mm.Tensor:
    return mm.tensor(np.random.default_rng(seed).standard_normal((n, 2, 8, 8)))


WAYS: dict[str, Any] = {
    "saliency": lambda m, x, **how: transfer.saliency(m, x, **how),
    "smooth_grad": lambda m, x, **how: transfer.smooth_grad(m, x, n=3, generator=mm.Generator(0), **how),
    "grad_cam": lambda m, x, **how: transfer.grad_cam(m, x, "5", **how),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@every_way
def test_mode_gradients_and_statistics_are_as_before_also_of_a_frozen_model_and_without_recording(way: Any) -> None:
    model, x = network().double(), pictures()
    model(x).sum().backward()
    model[1].eval()
    modes = [part.training for part in model.modules()]
    grads = [p.grad.numpy().copy() for p in model.parameters()]
    state = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    first = way(model, x)
    with mm.no_grad():
        np.testing.assert_array_equal(way(model, x), first)
    assert [part.training for part in model.modules()] == modes
    assert all((p.grad.numpy() == g).all() for p, g in zip(model.parameters(), grads, strict=True))
    assert all((t.numpy() == state[name]).all() for name, t in model.state_dict().items())
    assert x.grad is None and not x.requires_grad
    np.testing.assert_array_equal(way(transfer.freeze(model), x), first)


@every_way
def test_each_sample_has_a_map_of_its_own_and_a_class(way: Any) -> None:
    model, x = network().double(), pictures()
    best = model.eval()(x).argmax(dim=1).numpy()
    together = way(model, x)
    np.testing.assert_allclose(way(model, x, classes=best), together, rtol=1e-12)
    np.testing.assert_allclose(way(model, x, classes=mm.tensor(best)), together, rtol=1e-12)
    if way is not WAYS["smooth_grad"]:  # whose noise is drawn for a batch
        for n in range(4):
            np.testing.assert_allclose(way(model, x[n : n + 1], classes=int(best[n]))[0], together[n], rtol=1e-9, atol=1e-12)
    assert not np.allclose(way(model, x, classes=(best + 1) % 3), together)


@every_way
def test_weights_drawn_anew_give_another_map(way: Any) -> None:
    """Adebayo et al. 2018: an edge detector would fail here."""
    x = pictures()
    one, other = (way(network(seed).double(), x, classes=0).reshape(4, -1) for seed in (0, 1))
    for a, b in zip(one, other, strict=True):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.8 or a.std() == 0 or b.std() == 0
    assert not np.allclose(one, other)


@given(seeds)
def test_saliency_is_the_numerical_derivative(seed: int) -> None:
    model, x = network(seed % 100).double().eval(), pictures(1, seed)
    i = tuple(np.random.default_rng(seed).integers(0, (1, 2, 8, 8)))
    found, step = transfer.saliency(model, x, 1), 1e-6
    ends = []
    for sign in (1, -1):
        a = x.numpy().copy()
        a[i] += sign * step
        ends.append(model(mm.tensor(a))[0, 1].item())
    slope = (ends[0] - ends[1]) / (2 * step)
    if abs(abs(slope) - found[i]) > 1e-5:  # at a kink the two sides differ
        middle = model(x)[0, 1].item()
        sides = sorted(abs(s) for s in ((ends[0] - middle) / step, (middle - ends[1]) / step))
        assert sides[0] - 1e-4 <= found[i] <= sides[1] + 1e-4
    np.testing.assert_allclose(transfer.saliency(model, x, 1, times_input=True), abs(x.numpy()) * found)


class Corner(nn.Module):
    """y depends on the upper left corner alone."""

    def __init__(self) -> None:
        self.fc = nn.Linear(18, 3)

    def forward(self, x: Any) -> Any:
        return self.fc(mm.tanh(x[:, :, :3, :3].flatten(1)))


def test_a_model_of_one_corner_has_its_saliency_there_and_nowhere_else() -> None:
    mm.manual_seed(0)
    x = pictures()
    for map in (transfer.saliency(Corner().double(), x), transfer.smooth_grad(Corner().double(), x, n=4)):
        assert (map[:, :, :3, :3] > 0).all()
        assert map[:, :, 3:].max() == map[:, :, :, 3:].max() == 0


class Nothing(nn.Module):
    """y does not depend on x."""

    def __init__(self) -> None:
        self.b = nn.Parameter(mm.zeros(3))

    def forward(self, x: Any) -> Any:
        return self.b + mm.zeros(len(x), 3)


def test_what_does_not_matter_has_no_saliency() -> None:
    assert (transfer.saliency(Nothing(), pictures().float()) == 0).all()


def test_smooth_grad_of_a_bowl_and_without_noise() -> None:
    """y_c = Σᵢ w_cᵢ xᵢ²: |∂y_c/∂xᵢ| = 2 |w_cᵢ xᵢ|, and the mean of |x + σε| is known: σ √(2/π) where x is 0."""
    model, x = network().double(), pictures()
    np.testing.assert_allclose(transfer.smooth_grad(model, x, n=3, noise=0.0), transfer.saliency(model, x), rtol=1e-12)

    class Bowl(nn.Module):
        def forward(self, x: Any) -> Any:
            return mm.stack([(x * x).sum(dim=1), -(x * x).sum(dim=1)], dim=1)

    x = mm.tensor(np.array([[0.0, 3.0, 1.0]]))
    mean = transfer.smooth_grad(Bowl(), x, 0, n=500, noise=0.1, generator=mm.Generator(0))
    assert mean[0, 0] == pytest.approx(2 * 0.3 * np.sqrt(2 / np.pi), rel=0.1)
    assert mean[0, 1] == pytest.approx(6, rel=0.01)


# Grad-CAM


def naive_cam(model: nn.Sequential, x: Any, at: int, c: int) -> np.ndarray:
    """By the book, a picture, a channel, a place at a time; the layer after the map as a function of it."""
    maps = []
    for n in range(len(x)):
        A = model[: at + 1](x[n : n + 1]).detach().requires_grad_()
        rest = list(model)[at + 1 :]
        y = A
        for part in rest:
            y = part(y)
        y[0, c].backward()
        _, K, H, W = A.shape
        map = np.zeros((H, W))
        for k in range(K):
            w = sum(A.grad.numpy()[0, k, u, v] for u in range(H) for v in range(W)) / (H * W)
            for u in range(H):
                for v in range(W):
                    map[u, v] += w * A.numpy()[0, k, u, v]
        maps.append(np.maximum(map, 0))
    return np.array(maps)


@given(seeds, st.sampled_from([0, 2, 5, 6]), st.integers(0, 2))
def test_grad_cam_against_a_loop(seed: int, at: int, c: int) -> None:
    model, x = network(seed % 100).double().eval(), pictures(2, seed)
    maps = transfer.grad_cam(model, x, str(at), c)
    want = naive_cam(model, x, at, c)
    np.testing.assert_allclose(maps, looking.resized(want, 8, 8), rtol=1e-9, atol=1e-12)
    if want.shape[1:] == (8, 8):
        np.testing.assert_allclose(maps, want, rtol=1e-9, atol=1e-12)


def test_after_the_mean_over_all_places_grad_cam_is_cam() -> None:
    """ReLU(Σₖ W_ck Aₖ)/(H W); Zhou et al. 2016"""
    mm.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.Tanh())
    model = nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)).double()
    x = pictures()
    for c in range(3):
        cam = np.einsum("k,nkuv->nuv", model[3].weight.numpy()[c], trunk(x).numpy()) / 64
        np.testing.assert_allclose(transfer.grad_cam(model, x, "0", c), np.maximum(cam, 0), rtol=1e-9, atol=1e-12)


def test_grad_cam_finds_the_spot() -> None:
    """A layer of two channels, one bright in a corner; a class asks for each."""
    x = np.zeros((1, 2, 8, 8))
    x[0, 0, :4, :4] = x[0, 1, 4:, 4:] = 1
    model = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).double()
    model.load_state_dict(
        {"0.weight": np.eye(2).reshape(2, 2, 1, 1), "3.weight": np.array([[1.0, -1], [-1, 1]]), "3.bias": [0, 0]}
    )
    for c, spot in ((0, np.s_[:4, :4]), (1, np.s_[4:, 4:])):
        map = transfer.grad_cam(model, mm.tensor(x), "0", c)[0]
        assert (map[spot] > 0).all() and map.sum() == pytest.approx(map[spot].sum())


def test_maps_of_one_task_of_several() -> None:
    mm.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh())
    heads = {k: nn.Sequential(nn.Flatten(), nn.Linear(108, 2)) for k in ("a", "b")}
    model, x = mtl.HardSharing(trunk, heads).double(), pictures()
    for k in heads:
        alone = nn.Sequential(trunk, heads[k])
        np.testing.assert_allclose(transfer.saliency(model, x, task=k), transfer.saliency(alone, x))
        np.testing.assert_allclose(transfer.grad_cam(model, x, "shared.0", task=k), transfer.grad_cam(alone, x, "0.0"))
    with pytest.raises(ValueError, match=r"task= one of its tasks, got \['a', 'b'\]"):
        transfer.saliency(model, x)


@pytest.mark.oracle
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (2, 3), (13, 9)])
def test_maps_are_brought_to_size_as_in_pytorch(size: tuple[int, int]) -> None:
    import torch

    maps = np.random.default_rng(0).standard_normal((2, 4, 3))
    theirs = torch.nn.functional.interpolate(torch.tensor(maps)[None], size, mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(looking.resized(maps, *size), theirs.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_way
def test_a_map_has_the_type_of_the_pictures(way: Any, dtype: str) -> None:
    assert way(network().to(dtype), pictures().to(dtype)).dtype == dtype


def test_refusals() -> None:
    model, x = network().double(), pictures()
    with pytest.raises(ValueError, match=r"classes must be one of 0 … 2, or 4 of them, got 3"):
        transfer.saliency(model, x, 3)
    with pytest.raises(ValueError, match=r"classes must be one of 0 … 2"):
        transfer.saliency(model, x, [0, 1])
    with pytest.raises(TypeError, match="x must be a Tensor of floating-point numbers, got int64"):
        transfer.saliency(model, mm.zeros(4, 2, 8, 8).long())
    with pytest.raises(ValueError, match="n ≥ 1 and noise ≥ 0"):
        transfer.smooth_grad(model, x, n=0)
    with pytest.raises(ValueError, match="has no parts"):
        transfer.grad_cam(model, x, "conv9")
    with pytest.raises(ValueError, match=r"layer '8' must give \(N, K, H, W\), it gave \(4, 3\)"):
        transfer.grad_cam(model, x, "8")
    with pytest.raises(ValueError, match=r"x must be pictures \(N, C, H, W\), got \(2, 8, 8\)"):
        transfer.grad_cam(model, x[0], "0")
    with pytest.raises(ValueError, match=r"needs a model that gives \(N, C\)"):
        transfer.saliency(nn.Conv2d(2, 1, 3).double(), x)
    assert model.training and "forward" not in vars(model[5])


# Pictures


def test_maps_and_filters_are_shown() -> None:
    model, x = network(), pictures().float()
    maps = {"saliency": transfer.saliency(model, x), "Grad-CAM": transfer.grad_cam(model, x, "5")}
    figure = plot.heat(x.numpy(), maps, ["3", "5"], "title")
    assert len(figure.axes) == 12 and figure.axes[1].get_title() == "5"
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), maps["saliency"][0].max(axis=0))
    assert [figure.axes[i].get_ylabel() for i in (4, 8)] == list(maps)
    figure = plot.filters(model[0].weight, "title")
    assert len(figure.axes) == 8
    shown = [panel.images[0].get_array() for panel in figure.axes]
    np.testing.assert_array_equal(shown[5], model[0].weight.numpy()[1, 1])
    with pytest.raises(ValueError, match=r"\(F, C, KH, KW\), got \(3, 20\)"):
        plot.filters(model[8].weight)
    with pytest.raises(ValueError, match=r"needs 4 ≥ 1 images and maps of each"):
        plot.heat(x.numpy(), {"one": maps["saliency"][:2]})


# Planted errors


def test_sums_in_the_place_of_means_and_a_missing_relu_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = {
        "sum": lambda A, G: np.maximum(np.tensordot(G.sum(axis=(1, 2)), A, 1), 0),
        "no ReLU": lambda A, G: np.tensordot(G.mean(axis=(1, 2)), A, 1),
        "ReLU of each": lambda A, G: np.maximum(G.mean(axis=(1, 2))[:, None, None] * A, 0).sum(axis=0),
    }
    for wrong in planted.values():
        monkeypatch.setattr(looking, "class_map", wrong)
        with pytest.raises(AssertionError):
            test_after_the_mean_over_all_places_grad_cam_is_cam()


def test_an_edge_detector_in_the_place_of_saliency_is_caught() -> None:
    edges = lambda m, x, classes=None: abs(np.diff(x.numpy(), axis=3, append=0))  # noqa: E731
    with pytest.raises(AssertionError):
        test_weights_drawn_anew_give_another_map(edges)
