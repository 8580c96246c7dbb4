"""Every lesson runs, does nothing when imported, and shows what it says."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from minimtl import equations
from tests.bench.peers import ROOT, lesson

LESSONS = sorted(path.stem for path in (ROOT / "lessons").glob("[0-9]*.py"))


@pytest.mark.parametrize("name", LESSONS)
def test_importing_does_nothing(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = lesson(name)
    assert callable(module.main)
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", LESSONS)
def test_cells_are_percent_cells_with_raw_markdown(name: str) -> None:
    text = (ROOT / "lessons" / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith('# %% [markdown]\nr"""\n# ')
    assert text.count("# %% [markdown]\n") == text.count('# %% [markdown]\nr"""\n')
    for part in ("**Goal**", "**Needs**", "**The mathematics**", "**You should see**", "**Your turn**"):
        assert part in text, part


def test_the_three_facts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = lesson("01_shared_and_own").main()
    *deviations, L = numbers.values()
    assert max(deviations) < 1e-5
    assert numbers["∂L₂/∂θ₁"] == 0
    assert L < 1
    assert "φ" in capsys.readouterr().out


def test_wrong_gradients_are_found_and_ones_are_blind(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = lesson("03_trust_a_gradient").main()
    for name in ("softmax", "batch norm"):
        assert numbers[f"{name}, ones: largest gradient"] < 1e-14
        assert numbers[f"{name}, random: largest gradient"] > 0.1
        assert (numbers[f"{name}, ones: found"], numbers[f"{name}, random: found"]) == (0, 1)
    assert numbers["lines"] <= 25
    assert numbers["shrunk to"] == 1
    assert numbers["value off"] > 0.1
    said = capsys.readouterr().out
    assert said.count("the product rule has one more term") == 2
    assert "consistent_but_wrong: agrees" in said


@pytest.fixture(scope="module")
def parity_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, dict[str, float], Path]:
    module, out = lesson("02_digit_and_parity"), tmp_path_factory.mktemp("out")
    return module, module.main(None, epochs=2, quick=True, out=out), out


def test_digit_and_parity_learns_on_rendered_digits(parity_run: tuple[ModuleType, dict[str, float], Path]) -> None:
    _, numbers, out = parity_run
    assert numbers["epoch"] == 2
    assert numbers["validation parity accuracy"] > 0.5
    assert numbers["wrong both"] <= min(numbers["wrong digit"], numbers["wrong parity"])
    assert numbers["wrong digit"] == pytest.approx(2000 * (1 - numbers["validation digit accuracy"]), abs=0.5)
    for name in ("learning_curves.png", "predictions.png"):
        assert (out / name).stat().st_size > 10_000


def test_the_same_seed_gives_the_same_run(parity_run: tuple[ModuleType, dict[str, float], Path]) -> None:
    module, _, _ = parity_run
    train_set, test_set, _ = module.digits(None, quick=True, seed=3)
    runs = []
    for _ in range(2):
        part = type(train_set)(train_set, range(500))
        model, history = module.train(part, test_set, epochs=1, seed=3, verbose=False)
        runs.append((model.state_dict(), history["loss"]))
    (first, loss), (second, same) = runs
    assert loss == same
    assert all(np.array_equal(t.numpy(), second[name].numpy()) for name, t in first.items())


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_a_lesson_prints_on_any_console(encoding: str) -> None:
    command = [sys.executable, str(ROOT / "lessons" / "01_shared_and_own.py")]
    run = subprocess.run(command, capture_output=True, env={"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}, check=True)
    assert "L" in run.stdout.decode(encoding)


def test_the_map_agrees_and_misprints_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = lesson("04_the_map").main()
    assert max(numbers[name] for name in ("softmax", "as in the paper", "shorter")) < 1e-14
    assert min(numbers[name] for name in ("without the root", "shorter, with the misprint", "hasty")) > 0.1
    assert numbers["refused"] == 4
    assert numbers["worst"] < 1e-6
    assert numbers["yours"] < 1e-12
    said = capsys.readouterr().out
    assert "softmax in minimtl/kernels/softmax.py" in said
    assert said.count("my.softsign.vjp  notices") == 3
    assert "MISSES" not in said
    assert "my.softsign" not in {e.id for e in equations.all()}
