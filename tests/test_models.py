"""Models: their keys, sizes and first numbers; what of a file is read, from where, and what is refused."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minimtl as mm
from minimtl import models, mtl, nn, optim, transfer
from minimtl.data import transforms
from minimtl.models.resnet import BasicBlock, ResNet

COUNTS = {"resnet18": (122, 11_689_512), "resnet34": (218, 21_797_672), "resnet50": (320, 25_557_032)}


@pytest.fixture(scope="module")
def small() -> Any:
    """A ResNet of one block a layer, to be quick."""
    mm.manual_seed(0)
    return ResNet(BasicBlock, (1, 1, 1, 1), 5)


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet34", marks=pytest.mark.slow), "resnet50"])
def test_keys_and_sizes_are_torchvisions(name: str) -> None:
    model = getattr(models, name)()
    state = model.state_dict()
    assert (len(state), sum(p.numel() for p in model.parameters())) == COUNTS[name]
    assert list(state)[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"] and list(state)[-2:] == ["fc.weight", "fc.bias"]
    last = "3" if name == "resnet50" else "2"
    assert state[f"layer3.1.conv{last}.weight"].shape == ((1024, 256, 1, 1) if last == "3" else (256, 256, 3, 3))
    assert ("layer1.0.downsample.0.weight" in state) == (name == "resnet50")
    for key in ("conv1.weight", "layer4.0.conv2.weight"):
        F, _, KH, KW = state[key].shape
        assert abs(state[key].numpy().std() / np.sqrt(2 / (F * KH * KW)) - 1) < 0.03
    assert (state["bn1.weight"].numpy() == 1).all() and (state["bn1.running_var"].numpy() == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "entries", "parameters"), [("vgg16", 32, 138_357_544), ("vgg16_bn", 97, 138_365_992)])
def test_keys_and_sizes_of_vgg(name: str, entries: int, parameters: int) -> None:
    model = getattr(models, name)()
    state = model.state_dict()
    assert (len(state), sum(p.numel() for p in model.parameters())) == (entries, parameters)
    assert state["classifier.6.weight"].shape == (1000, 4096)
    assert abs(state["classifier.0.weight"].numpy().std() / 0.01 - 1) < 0.01 and not state["classifier.0.bias"].numpy().any()


def test_vgg_without_top() -> None:
    trunk, convolutions = models.vgg16(include_top=False), (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    state = trunk.state_dict()
    assert list(state) == [f"features.{i}.{part}" for i in convolutions for part in ("weight", "bias")]
    assert sum(p.numel() for key, p in trunk.named_parameters() if p.ndim == 4) == 14_710_464
    assert abs(state["features.0.weight"].numpy().std() / np.sqrt(2 / (64 * 9)) - 1) < 0.1
    trunk.eval()
    assert trunk(mm.randn(1, 3, 32, 48)).shape == (1, 25088) == (1, trunk.out_features)
    assert trunk.features(mm.randn(1, 3, 64, 96)).shape == (1, 512, 2, 3)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 40)])
def test_any_size_of_image_and_any_number_of_classes(small: Any, size: tuple[int, int]) -> None:
    x = mm.randn(2, 3, *size)
    assert small(x).shape == (2, 5) and small.out_features == 5
    assert ResNet(BasicBlock, (1, 1, 1, 1), include_top=False)(x).shape == (2, 512)
    grey = x[:, :1]
    assert models.lenet(num_classes=3)(grey).shape == (2, 3) and models.lenet(include_top=False)(grey).shape == (2, 84)
    assert models.mlp(size[0] * size[1], (7, 6), num_classes=4)(grey).shape == (2, 4)
    trunk = models.mlp(size[0] * size[1], (7, 6), include_top=False, dropout=0.5)
    assert trunk(grey).shape == (2, 6) == (2, trunk.out_features) and models.mlp(9, ()).fc.weight.shape == (10, 9)


def test_lenet_is_d1s_network() -> None:
    """61,706 parameters; at 28 × 28 the adaptive pooling does nothing."""
    model, x = models.lenet(), mm.randn(3, 1, 28, 28)
    assert sum(p.numel() for p in model.parameters()) == 156 + 2416 + 30840 + 10164 + 850
    plain = nn.Sequential(*[part for part in model.features if not isinstance(part, nn.AdaptiveAvgPool2d)], model.fc)
    assert np.array_equal(model(x).numpy(), plain(x).numpy())


def test_the_same_seed_gives_the_same_bytes() -> None:
    def state() -> list[bytes]:
        mm.manual_seed(3)
        return [t.numpy().tobytes() for t in models.lenet().state_dict().values()]

    assert state() == state()


def test_a_trunk_is_trained_under_two_heads() -> None:
    """∂L/∂φ reaches the first convolution, and a step lowers the loss."""
    mm.manual_seed(0)
    trunk = ResNet(BasicBlock, (1, 1, 1, 1), include_top=False)
    model = mtl.HardSharing(trunk, {"a": nn.Linear(trunk.out_features, 2), "b": nn.Linear(trunk.out_features, 3)})
    x, y = mm.randn(8, 3, 32, 32), mm.randint(2, (8,))
    rule, losses = optim.SGD(model.parameters(), lr=0.01, momentum=0.9), []
    for _ in range(6):
        rule.zero_grad()
        outputs = model(x)
        loss = sum(nn.functional.cross_entropy(outputs[k], y) for k in "ab")
        loss.backward()
        rule.step()
        losses.append(loss.item())
    assert np.abs(trunk.conv1.weight.grad.numpy()).max() > 0 and losses[-1] < 0.5 * losses[0]


# Weights


def saved(model: nn.Module, path: Path, **others: Any) -> Path:
    mm.save({**model.state_dict(), **others}, path)
    return path


def same(a: nn.Module, b: nn.Module, but: str = "-") -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(np.array_equal(left[key].numpy(), right[key].numpy()) for key in left if not key.startswith(but))


def test_weights_from_a_path_from_the_cache_and_from_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMTL_CACHE", str(tmp_path / "cache"))
    model = models.lenet()
    (tmp_path / "far").mkdir()
    path = saved(model, tmp_path / "far" / "lenet.npz")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert same(models.lenet(path), model) and same(models.lenet(str(path), sha256=digest.upper()), model)
    with pytest.raises(FileNotFoundError, match=r"lenet\.npz, nor .*cache"):
        models.lenet("lenet.npz")
    url = path.as_uri()
    with pytest.raises(ValueError, match=f"has SHA-256 {digest}, must have {'0' * 64}"):
        models.lenet(url, sha256="0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []
    assert same(models.lenet(url, sha256=digest), model)
    path.unlink()
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["lenet.npz"]
    assert same(models.lenet(url, sha256=digest), model)  # not fetched again
    assert same(models.lenet("lenet.npz"), model)
    (tmp_path / "cache" / "lenet.npz").write_bytes(b"damaged")
    with pytest.raises(OSError):
        models.lenet(url, sha256=digest)


@pytest.mark.parametrize(
    ("url", "sha256"),
    [
        ("http://example.org/a.npz", "0" * 64), ("https://example.org/a.npz", None), ("ftp://example.org/a.npz", "0" * 64),
        ("https://example.org/a.npz", "abc"), ("https://example.org/", "0" * 64), ("https://example.org/a.zip", "0" * 64),
        ("https://example.org/..", "0" * 64), (None, "0" * 64), ("https://example.org/%2e%2e", "0" * 64),
    ],
)  # fmt: skip
def test_urls_that_are_refused(url: str | None, sha256: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMTL_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="sha256|ending"):
        models.lenet(url, sha256=sha256)
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_that_is_not_the_files(tmp_path: Path) -> None:
    path = saved(models.lenet(), tmp_path / "lenet.npz")
    with pytest.raises(ValueError, match="has SHA-256"):
        models.lenet(path, sha256="0" * 64)


def test_the_head_is_left_out_where_it_does_not_fit(tmp_path: Path) -> None:
    model = models.lenet()
    path = saved(model, tmp_path / "lenet.npz")
    mm.manual_seed(1)
    fresh = models.lenet(num_classes=2)
    mm.manual_seed(1)
    other = models.lenet(path, num_classes=2)
    assert same(other, model, but="fc.") and same(other.fc, fresh.fc) and other.fc.weight.shape == (2, 84)
    trunk = models.lenet(path, include_top=False)
    assert same(trunk, model) and "fc.weight" not in trunk.state_dict()
    assert same(
        models.mlp(4, (3,), saved(models.mlp(4, (3,)), tmp_path / "mlp.npz")), models.mlp(4, (3,), tmp_path / "mlp.npz")
    )


def test_all_that_does_not_fit_is_listed_and_the_model_is_unchanged(small: Any, tmp_path: Path) -> None:
    state = {f"module.{key}": t for key, t in small.state_dict().items() if key != "bn1.weight"} | {
        "layer1.0.conv1.weight": mm.zeros(2, 2), "fc.bias": mm.zeros(5),
    }  # fmt: skip
    mm.save(state, tmp_path / "other.npz")
    before = {key: t.numpy().tobytes() for key, t in small.state_dict().items()}
    with pytest.raises(RuntimeError) as error:
        models.load_weights(small, tmp_path / "other.npz", head="fc")
    lines = str(error.value).splitlines()
    assert ("other.npz" in lines[0] and len(lines) == 1 + 62 - 2 - 12 + 61 - 0 - 0) or len(lines) > 80
    assert "  missing: conv1.weight (nearest: module.conv1.weight)" in lines
    assert "  unexpected: module.fc.bias" in lines
    assert "  layer1.0.conv1.weight: shape (2, 2) given, (64, 64, 3, 3) needed" in lines
    assert {key: t.numpy().tobytes() for key, t in small.state_dict().items()} == before


def test_old_files_count_no_batches(small: Any, tmp_path: Path) -> None:
    mm.save({k: t for k, t in small.state_dict().items() if "num_batches" not in k}, tmp_path / "old.npz")
    model = ResNet(BasicBlock, (1, 1, 1, 1), 5)
    models.load_weights(model, tmp_path / "old.npz")
    ours, theirs = model.state_dict(), small.state_dict()
    for key, t in ours.items():
        assert np.array_equal(t.numpy(), np.array(0) if "num_batches" in key else theirs[key].numpy())


def test_a_frozen_resnet_with_a_new_head(small: Any, tmp_path: Path) -> None:
    """D0-b, small: with transfer.freeze not one byte but the head's moves."""
    model = ResNet(BasicBlock, (1, 1, 1, 1), 2)
    models.load_weights(model, saved(small, tmp_path / "small.npz"), head=model.head)
    transfer.freeze(model, except_="fc")
    before = {key: t.numpy().tobytes() for key, t in model.state_dict().items()}
    rule = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        rule.zero_grad()
        nn.functional.cross_entropy(model.train()(mm.randn(4, 3, 32, 32)), mm.randint(2, (4,))).backward()
        rule.step()
    assert {key for key, t in model.state_dict().items() if t.numpy().tobytes() != before[key]} == {"fc.weight", "fc.bias"}


# What comes in


def test_preprocessing(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (300, 401, 3), dtype=np.uint8)
    picture = image.fromarray(pixels)
    y = transforms.imagenet()(picture)
    resized = np.asarray(picture.resize((256 * 401 // 300, 256), image.Resampling.BILINEAR))
    top, left = 16, round((resized.shape[1] - 224) / 2)
    x = resized[top : top + 224, left : left + 224] / 255
    expected = ((x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-6)
    assert y.shape == (3, 224, 224) and y.dtype == np.float32
    assert np.array_equal(transforms.imagenet()(pixels).numpy(), y.numpy())
    grey = transforms.imagenet(40, 32)(picture.convert("LA"))
    assert grey.shape == (3, 32, 32)
    assert transforms.Resize((10, 20))(mm.tensor(pixels)).size == (20, 10)
    assert transforms.Resize(10)(pixels[..., 0]).size == (13, 10)


def test_centre_crop() -> None:
    x = mm.randn(2, 3, 7, 9)
    assert np.array_equal(transforms.CenterCrop(4)(x).numpy(), x.numpy()[..., 2:6, 2:6])
    assert transforms.apply(transforms.Compose([transforms.CenterCrop((7, 3))]), x).shape == (2, 3, 7, 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: transforms.CenterCrop(9)(mm.zeros(3, 8, 9)), r"at least \(9, 9\), got \(8, 9\)"),
        (lambda p: transforms.CenterCrop(0), "CenterCrop: size"),
        (lambda p: transforms.Resize(0), "Resize: size"),
        (lambda p: transforms.Resize((1, 2, 3)), "Resize: size"),
        (lambda p: transforms.Resize(4)(np.zeros((4, 4, 2), np.uint8)), r"Resize: needs uint8 .*got uint8 \(4, 4, 2\)"),
        (lambda p: transforms.Resize(4)(np.zeros((4, 4))), "Resize: needs uint8 .*got float64"),
        (lambda p: transforms.Resize(4)(p.convert("P")), "grey or RGB image, got one of mode P"),
        (lambda p: transforms.ToTensor()(p.convert("CMYK")), "grey or RGB image, got one of mode CMYK"),
    ],
)
def test_refusals_of_transforms(call: Any, says: str) -> None:
    picture = pytest.importorskip("PIL.Image").new("RGB", (5, 4))
    with pytest.raises(ValueError, match=says):
        call(picture)
