"""Whole training runs beside PyTorch's: the same numbers step by step, and a PyTorch script with other import lines."""

import numpy as np
import pytest

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn, optim

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
torch.set_num_threads(1)


def lenet(n):
    """D1's network: the shared layers, a head for the digit, a head for its parity."""
    shared = n.Sequential(
        *(n.Conv2d(1, 6, 5), n.ReLU(), n.MaxPool2d(2)),
        *(n.Conv2d(6, 16, 5), n.ReLU(), n.MaxPool2d(2), n.Flatten()),
        *(n.Linear(256, 120), n.ReLU(), n.Linear(120, 84), n.ReLU()),
    )
    return n.ModuleDict({"shared": shared, "digit": n.Linear(84, 10), "parity": n.Linear(84, 2)})


def train(library, cross_entropy, optimiser, model, batches, lr):
    """The losses of 100 steps on the sum of both tasks' losses."""
    opt = optimiser(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    for step in range(100):
        images, digits = batches[step % len(batches)]
        opt.zero_grad()
        h = model["shared"](library.tensor(images))
        loss = cross_entropy(model["digit"](h), library.tensor(digits))
        loss = loss + cross_entropy(model["parity"](h), library.tensor(digits % 2))
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("lr", [0.001, 0.01])
@pytest.mark.parametrize(
    ("dtype", "losses_to", "weights_to"), [("float32", 1e-4, 1e-3), ("float64", 1e-9, 1e-9)], ids=["float32", "float64"]
)
def test_100_steps_from_the_same_numbers_end_at_the_same_numbers(dtype, losses_to, weights_to, lr):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    batches = [(rng.random((20, 1, 28, 28)).astype(dtype), rng.integers(0, 10, 20)) for _ in range(10)]
    theirs = lenet(torch.nn).to(getattr(torch, dtype))
    start = {name: t.numpy().copy() for name, t in theirs.state_dict().items()}
    ours = lenet(nn).to(dtype)
    ours.load_state_dict(start)
    found = train(mm, F.cross_entropy, optim.SGD, ours, batches, lr)
    expected = train(torch, torch.nn.functional.cross_entropy, torch.optim.SGD, theirs, batches, lr)
    np.testing.assert_allclose(found, expected, rtol=0, atol=losses_to)
    for name, t in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].numpy(), t.numpy(), rtol=0, atol=weights_to, err_msg=name)
        assert np.abs(t.numpy() - start[name]).max() > 1e-4  # the steps went somewhere


SCRIPT = '''
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self, num_classes=3):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2, 2)
        self.drop = nn.Dropout(p=0.2)
        self.fc1 = nn.Linear(8 * 2 * 2, 16)
        self.fc2 = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(x.size(0), -1)
        x = self.drop(F.relu(self.fc1(x)))
        return self.fc2(x)


def make(n):
    """Noise with a bright row, column or diagonal."""
    labels = torch.randint(0, 3, (n,))
    images = 0.3 * torch.randn(n, 1, 8, 8)
    for i in range(n):
        k = int(torch.randint(0, 8, (1,)))
        if labels[i] == 0:
            images[i, 0, k, :] += 1
        elif labels[i] == 1:
            images[i, 0, :, k] += 1
        else:
            images[i, 0] += torch.eye(8)
    return TensorDataset(images, labels)


train_loader = DataLoader(make(480), batch_size=32, shuffle=True)
test_loader = DataLoader(make(120), batch_size=60, shuffle=False)

model = Net().to(device)
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)

history = []
for epoch in range(6):
    model.train()
    running_loss = 0.0
    for i, (inputs, labels) in enumerate(train_loader):
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * inputs.size(0)
    scheduler.step()
    history.append(running_loss / len(train_loader.dataset))
    print(f"epoch {epoch + 1}: loss {history[-1]:.3f}, lr {scheduler.get_last_lr()[0]}")

model.eval()
correct = 0
total = 0
with torch.no_grad():
    for images, labels in test_loader:
        outputs = model(images.to(device))
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels.to(device)).sum().item()
accuracy = correct / total
print("accuracy: %.2f, parameters: %d" % (accuracy, sum(p.numel() for p in model.parameters() if p.requires_grad)))
'''

OURS = {
    "import torch": "import minimtl as torch",
    "import torch.nn as nn": "import minimtl.nn as nn",
    "import torch.nn.functional as F": "import minimtl.nn.functional as F",
    "import torch.optim as optim": "import minimtl.optim as optim",
    "from torch.utils.data import DataLoader, TensorDataset": "from minimtl.data import DataLoader, TensorDataset",
}


@pytest.mark.parametrize("imports", [{}, OURS], ids=["as it is", "with other imports"])
def test_a_pytorch_script_runs_after_changing_its_import_lines(imports, capsys):
    lines = [imports.get(line, line) for line in SCRIPT.splitlines()]
    assert not imports or not any("import torch" in line or "from torch" in line for line in lines)
    found = {"__name__": "script"}
    exec(compile("\n".join(lines), "script", "exec"), found)
    assert found["history"][-1] < 0.3 * found["history"][0]
    assert found["accuracy"] > 0.9
    assert capsys.readouterr().out.splitlines()[-1].endswith("parameters: 1251")
    assert ("minimtl" in type(found["loss"]).__module__) == bool(imports)
