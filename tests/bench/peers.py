"""The documents' systems D0-a and D1, written once for minimtl and PyTorch: `library` is either, used under one set of names."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]


def lesson(name: str) -> ModuleType:
    """A lesson script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "lessons" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functional(library: Any) -> Any:
    """`nn.functional` of the library."""
    return importlib.import_module(f"{library.__name__}.nn.functional")


def d0(library: Any) -> tuple[Any, list[Any]]:
    """φ: Linear(100 → 50), θₖ: Linear(50 → 10); as a function x → (ŷ₁, ŷ₂), and its parts."""
    nn = library.nn
    φ, θ1, θ2 = parts = [nn.Linear(100, 50), nn.Linear(50, 10), nn.Linear(50, 10)]

    def forward(x: Any) -> tuple[Any, Any]:
        z = φ(x)
        return θ1(z), θ2(z)

    return forward, parts


def d1(library: Any) -> tuple[Any, list[Any]]:
    """D1's network, x → (ŷ_digit, ŷ_parity), and its parts: trunk, digit head, parity head."""
    nn = library.nn
    φ = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
    )  # fmt: skip
    θ1, θ2 = nn.Linear(84, 10), nn.Linear(84, 2)

    def forward(x: Any) -> tuple[Any, Any]:
        z = φ(x)
        return θ1(z), θ2(z)

    return forward, [φ, θ1, θ2]


def training_step(library: Any, system: Callable[[Any], tuple[Any, list[Any]]], shape: tuple[int, ...]) -> Callable[[], float]:
    """One step on a fixed batch of random inputs and labels: forward, two cross-entropies, backward, SGD(.001, .9)."""
    F, rng = functional(library), np.random.default_rng(0)
    forward, parts = system(library)
    optimizer = library.optim.SGD([p for part in parts for p in part.parameters()], lr=0.001, momentum=0.9)
    x = library.tensor(rng.standard_normal(shape, dtype=np.float32))
    y = library.tensor(rng.integers(0, 10, shape[0]))
    y2 = (y % 2 == 0).long()

    def step() -> float:
        first, second = forward(x)
        loss = F.cross_entropy(first, y) + F.cross_entropy(second, y2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def torch() -> Any:
    """PyTorch, on both cores; where it is missing the run ends with what to install."""
    try:
        module = importlib.import_module("torch")
    except ImportError:
        sys.exit("the comparison needs PyTorch: pip install 'minimtl[oracle]'")
    return module
