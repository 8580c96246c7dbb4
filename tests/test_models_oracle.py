"""The models beside PyTorch's: the same numbers from one file, and D0-b, in which a new head is trained on a frozen ResNet-18."""

import os

import numpy as np
import pytest

import minimtl as mm
from minimtl import models, nn, optim, transfer

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
torch.set_num_threads(1)
tn = torch.nn


class TorchBlock(tn.Module):
    """A block of two or three convolutions, by torchvision's names."""

    def __init__(self, inputs, width, stride, deep):
        super().__init__()
        outputs = width * 4 if deep else width
        plan = [(1, 1), (3, stride), (1, 1)] if deep else [(3, stride), (3, 1)]
        sizes = [inputs, *[width] * (len(plan) - 1), outputs]
        self.n = len(plan)
        for i, (k, s) in enumerate(plan):
            setattr(self, f"conv{i + 1}", tn.Conv2d(sizes[i], sizes[i + 1], k, s, k // 2, bias=False))
            setattr(self, f"bn{i + 1}", tn.BatchNorm2d(sizes[i + 1]))
        if stride != 1 or inputs != outputs:
            self.downsample = tn.Sequential(tn.Conv2d(inputs, outputs, 1, stride, bias=False), tn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.n + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.n else y
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class TorchResNet(tn.Module):
    def __init__(self, layers, deep):
        super().__init__()
        self.conv1, self.bn1, inputs = tn.Conv2d(3, 64, 7, 2, 3, bias=False), tn.BatchNorm2d(64), 64
        for i, n in enumerate(layers):
            width, blocks = 64 * 2**i, []
            for b in range(n):
                blocks.append(TorchBlock(inputs, width, 2 if i and not b else 1, deep))
                inputs = width * (4 if deep else 1)
            setattr(self, f"layer{i + 1}", tn.Sequential(*blocks))
        self.fc = tn.Linear(inputs, 1000)

    def forward(self, x):
        x = torch.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.mean((2, 3)))


class TorchVGG(tn.Module):
    def __init__(self, batch_norm):
        super().__init__()
        layers, inputs = [], 3
        for size in [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]:
            if size == "M":
                layers.append(tn.MaxPool2d(2, 2))
            else:
                norm = [tn.BatchNorm2d(size)] if batch_norm else []
                layers += [tn.Conv2d(inputs, size, 3, padding=1), *norm, tn.ReLU()]
                inputs = size
        self.features = tn.Sequential(*layers)
        self.classifier = tn.Sequential(
            *(tn.Linear(25088, 4096), tn.ReLU(), tn.Dropout(0.0)), *(tn.Linear(4096, 4096), tn.ReLU(), tn.Dropout(0.0)),
            tn.Linear(4096, 1000),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(tn.functional.adaptive_avg_pool2d(self.features(x), 7).flatten(1))


THEIRS = {
    "resnet18": lambda: TorchResNet([2, 2, 2, 2], False),
    "resnet34": lambda: TorchResNet([3, 4, 6, 3], False),
    "resnet50": lambda: TorchResNet([3, 4, 6, 3], True),
    "vgg16": lambda: TorchVGG(False),
    "vgg16_bn": lambda: TorchVGG(True),
}


def theirs(name):
    """PyTorch's model, with statistics and scales of batch norms as after some training."""
    torch.manual_seed(0)
    model = THEIRS[name]()
    for part in model.modules():
        if isinstance(part, tn.Conv2d):
            tn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(part, tn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            tn.init.uniform_(part.weight, 0.5, 1.0)
            tn.init.normal_(part.bias, 0, 0.1)
    return model


def far(ours, reference):
    """max |a − b| / max |b|"""
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def pictures(n, side):
    return np.random.default_rng(side).standard_normal((n, 3, side, side), dtype=np.float32)


slow = ("resnet34", "vgg16_bn")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in THEIRS])
def test_logits_from_a_file_equal_pytorchs(name, tmp_path):
    """In evaluation and in training mode, where the statistics move alike; at 224 and at 128 pixels."""
    model = theirs(name)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    loaded = getattr(models, name)(tmp_path / "model.pth")
    os.remove(tmp_path / "model.pth")
    assert list(loaded.state_dict()) == list(model.state_dict())
    for part in loaded.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    for training in (False, True):
        loaded.train(training), model.train(training)
        for side in (224, 128):
            x = pictures(1 if name.startswith("vgg") else 2, side)
            with torch.no_grad(), mm.no_grad():
                ours, reference = loaded(mm.tensor(x)).numpy(), model(torch.from_numpy(x)).numpy()
            print(f"{name}, {side}, {training}: {far(ours, reference):.1e}")
            assert far(ours, reference) < 1e-4, (training, side)
    for key, value in model.state_dict().items():
        assert far(loaded.state_dict()[key].numpy() + 1.0, value.numpy() + 1.0) < 1e-4, key


def labels(n):
    return np.random.default_rng(1).integers(0, 2, n)


def train(library, model, cross_entropy, rule, side, mode, steps=20):
    """D0-b: so many steps on one batch of random pictures."""
    x, y = library.tensor(pictures(10, side)), library.tensor(labels(10))
    for _ in range(steps):
        mode()
        rule.zero_grad()
        cross_entropy(model(x), y).backward()
        rule.step()


@pytest.mark.parametrize("side", [64, pytest.param(224, marks=pytest.mark.slow)])
@pytest.mark.parametrize("really", [False, True], ids=["requires_grad=False", "transfer.freeze"])
def test_d0b_a_new_head_on_a_frozen_resnet18(tmp_path, side, really):
    """With requires_grad=False in training mode, as the listing has it, the statistics drift, here as there. Frozen, nothing does."""
    reference = theirs("resnet18")
    torch.save(reference.state_dict(), tmp_path / "resnet18.pth")
    ours = models.resnet18(tmp_path / "resnet18.pth")
    ours.fc = nn.Linear(512, 2)
    reference.requires_grad_(False)
    reference.fc = tn.Linear(512, 2)
    with torch.no_grad():
        reference.fc.weight.copy_(torch.from_numpy(ours.fc.weight.numpy().copy()))
        reference.fc.bias.copy_(torch.from_numpy(ours.fc.bias.numpy().copy()))
    if really:
        transfer.freeze(ours, except_="fc")
    else:
        for key, p in ours.named_parameters():
            p.requires_grad_(key.startswith("fc."))
    before = {key: value.numpy().tobytes() for key, value in ours.state_dict().items()}

    def their_mode():
        reference.train()
        for part in reference.modules():
            if really and isinstance(part, tn.BatchNorm2d):
                part.eval()

    settings = {"lr": 0.001, "momentum": 0.9, "weight_decay": 1e-4}
    trained = [p for p in ours.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == 1026
    train(mm, ours, nn.CrossEntropyLoss(), optim.SGD(trained, **settings), side, ours.train)
    rule = torch.optim.SGD(reference.fc.parameters(), **settings)
    train(torch, reference, tn.CrossEntropyLoss(), rule, side, their_mode)
    found = ours.state_dict()
    moved = {key for key, value in found.items() if value.numpy().tobytes() != before[key]}
    drifting = set() if really else {key for key in found if "running_" in key or "num_batches" in key}
    assert moved == {"fc.weight", "fc.bias"} | drifting
    worst = {}
    for key, value in reference.state_dict().items():
        a, b = found[key].numpy().astype(np.float64), value.numpy().astype(np.float64)
        worst[key] = float((np.abs(a - b) / np.maximum(np.abs(b), 1)).max())
    print(f"fc {max(worst['fc.weight'], worst['fc.bias']):.1e}, statistics {max(worst.values()):.1e}")
    assert max(worst.values()) < 1e-5, max(worst, key=worst.get)


def test_files_of_pytorch_in_all_its_types_and_shapes(tmp_path):
    """Views, shared storages, scalars, parameters, half and bfloat16; nested in a checkpoint with an optimiser's state."""
    torch.manual_seed(0)
    big = torch.randn(4, 6)
    state = {
        "plain": big, "turned": big.t(), "part": big[1:, ::2], "scalar": torch.tensor(3), "empty": torch.zeros(0, 3),
        "parameter": tn.Parameter(torch.randn(2)), "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "θ": torch.ones(1), **{str(t): torch.arange(-3, 4).to(getattr(torch, t)) for t in (
            "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")},
    }  # fmt: skip
    layer = tn.Linear(3, 2)
    rule = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    rule.step()
    for wrapped in (state, *({key: state, "optimizer": rule.state_dict(), "epoch": 3} for key in ("state_dict", "model"))):
        torch.save(wrapped, tmp_path / "θ.pt")
        loaded = mm.load(tmp_path / "θ.pt")
        assert list(loaded) == list(state)
        for key, t in state.items():
            assert np.array_equal(loaded[key].numpy(), t.detach().float().numpy() if key == "bfloat16" else t.detach().numpy())
            assert (
                loaded[key].dtype == ("float32" if key == "bfloat16" else loaded[key].dtype) and not loaded[key].requires_grad
            )
    loaded["plain"].zero_()
    assert loaded["turned"].abs().sum().item() == 0


def test_what_pytorch_saves_otherwise_is_refused_by_name(tmp_path):
    path = tmp_path / "model.pth"
    layer = tn.Linear(3, 2)
    torch.save(layer.state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"format of PyTorch before 1\.6"):
        mm.load(path)
    torch.save(layer, path)
    with pytest.raises(ValueError, match=r"asks for 'torch\.nn\.modules\.linear\.Linear'"):
        mm.load(path)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        torch.jit.save(torch.jit.script(layer), path)
    with pytest.raises(ValueError, match="TorchScript"):
        mm.load(path)
    torch.save({"a": torch.ones(3).expand(5, 3)}, path)
    with pytest.raises(ValueError, match="strides of 0"):
        mm.load(path)
    torch.save({"a": torch.ones(2), "lr": 0.1}, path)
    with pytest.raises(ValueError, match="it holds 'lr': float"):
        mm.load(path)
