"""Every lesson runs, does nothing when imported, and shows what it says."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import minimtl as mm
from minimtl import equations, testing
from minimtl.mtl.batches import Epoch
from minimtl.training import Table
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


def test_a_second_task_takes_from_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = lesson("10_one_after_the_other").main(None, sizes=(1000, 500), epochs=4)
    assert numbers["digit, then angle: forgotten"] > 0.1
    assert numbers["both at once: forgotten"] < 0.05
    assert numbers["both at once: digit"] > numbers["digit, then angle: digit"] + 0.1
    for k in ("digit", "angle"):
        assert numbers[f"trunks averaged: {k}"] < numbers[f"each task alone: {k}"] - 0.1
    said = capsys.readouterr().out
    assert "Digits: rendered from fonts; of each task 1,000 pictures" in said
    assert f"of digit forgotten: {100 * numbers['digit, then angle: forgotten']:.1f} points" in said
    assert said.count("Made by `python lessons/10_one_after_the_other.py --data DIR --study`") == 2


def test_angles_fall_into_five_classes_of_twelve_degrees() -> None:
    module = lesson("10_one_after_the_other")
    angles = np.radians(np.array([-30, -18.1, -17.9, -6.1, -5.9, 0, 5.9, 6.1, 17.9, 18.1, 30], np.float32))
    assert module.five(mm.tensor(angles)).numpy().tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4]


def test_the_first_head_stands_still_while_the_trunk_moves() -> None:
    module, states = lesson("10_one_after_the_other"), []
    training, test = module.loaders(None, (96, 32), 0)
    mm.manual_seed(0)
    model = module.network()

    class Watched(list):
        """Batches that note, whenever they are read, what the parameters are."""

        def __iter__(self):
            states.append({name: t.numpy().copy() for name, t in model.state_dict().items()})
            return super().__iter__()

    watched = {"digit": Watched(test["digit"]), "angle": test["angle"]}
    rule = module.schedule.Sequential(["digit", "angle"])
    trainer = module.mtl.Trainer(model, module.tasks(), module.adam(model.parameters()), schedule=rule)
    trainer.fit(training, 2, watched, verbose=False)
    before, after = states
    for name in before:
        assert np.array_equal(before[name], after[name]) == name.startswith("heads.digit"), name


def test_the_schedules_see_equally_many_pictures() -> None:
    module, seen = lesson("10_one_after_the_other"), {}
    training, _ = module.loaders(None, (96, 32), 0)
    for name, make in module.SCHEDULES.items():
        rule = make()
        epochs = 2 * (1 + isinstance(rule, module.schedule.Sequential))
        now = [k for e in range(epochs) for *_, k in Epoch(training, module.NAMES, rule, e + 1, epochs)]
        seen[name] = len(now), sum(map(len, now))
    assert seen.pop("both at once") == (6, 12)
    assert set(seen.values()) == {(12, 12)}


def part(table: Table, row: str, column: str) -> tuple[float, float]:
    """The two ends of an interval in a table."""
    mean, half = (float(number) for number in table[row][column].split(" ± "))
    return mean - half, mean + half


def test_what_is_said_of_schedules_is_in_the_table() -> None:
    table = Table.read(ROOT / "lessons" / "tables" / "one_after_the_other.md")
    assert table.about.startswith("7 seeds") and "real MNIST" in table.about
    first, second = "digit, then angle", "angle, then digit"
    assert [round(float(n)) for n in table[first]["digit least … most"].split(" … ")] == [15, 34]
    assert round(table.number(first, "digit forgotten")) == 23
    assert round(table.number(second, "angle forgotten")) == 32
    for name in ("both at once", "in turns", "drawn"):
        for k in ("digit", "angle"):
            assert table.number(name, f"{k} forgotten") < 1
            assert part(table, name, f"{k} forgotten")[1] < part(table, first if k == "digit" else second, f"{k} forgotten")[0]
    for k, name in (("digit", second), ("angle", first)):  # the task that comes last, against both at once
        assert part(table, name, k)[1] > part(table, "both at once", k)[0]
    anew, start = f"{first}, then new heads", Table.read(ROOT / "lessons" / "tables" / "fusion.md")
    assert round(table.number(anew, "digit") - table.number(first, "digit")) == 20
    assert part(table, anew, "digit")[0] > part(start, "trunk as it started, new heads", "digit")[1] + 20


def test_what_is_said_of_fusion_is_in_the_table() -> None:
    table = Table.read(ROOT / "lessons" / "tables" / "fusion.md")
    gains = {row[0]: [part(table, row[0], f"{k} − alone") for k in ("digit", "angle")] for row in table.rows}
    assert [round(table.number("both at once", f"{k} − alone"), 1) for k in ("digit", "angle")] == [-0.6, -2.1]
    assert all(high < 0 for _, high in gains["both at once"])
    turns = Table.read(ROOT / "lessons" / "tables" / "one_after_the_other.md")
    for k in ("digit", "angle"):
        one, other = part(turns, "in turns", k), part(table, "each task alone", k)
        assert one[0] < other[1] and other[0] < one[1]
    assert [name for name, found in gains.items() if all(low > 0 for low, _ in found)] == ["ensemble, two networks a task"]
    assert [round(table.number("ensemble, two networks a task", f"{k} − alone"), 1) for k in ("digit", "angle")] == [0.9, 1.6]
    for k in ("digit", "angle"):
        near, far = (part(table, f"trunks averaged{other}", k) for other in ("", ", other starts"))
        assert near[0] < far[1] and far[0] < near[1]  # no difference can be told
        assert table.number("trunks averaged", f"{k} − alone") < -20
        anew, alone = part(table, "trunks averaged, new heads", k), part(table, "each task alone", k)
        assert near[1] < anew[0] and anew[1] < alone[0]
        assert anew[0] - near[1] > alone[1] - anew[0]  # most of it
        assert table.number("a student of both", k) <= table.number("both at once", k)


def table(name: str) -> Table:
    return Table.read(ROOT / "lessons" / "tables" / f"{name}.md")


@pytest.mark.parametrize("path", sorted((ROOT / "lessons" / "tables").glob("*.md")), ids=lambda path: path.stem)
def test_tables_say_how_they_were_made(path: Path) -> None:
    origin = Table.read(path).origin
    assert re.match(
        r"Made by `python lessons/\d\d_\w+\.py.*--study.*` on \d{4}-\d\d-\d\d with minimtl .*, NumPy .*, Python .*\.", origin
    )
    lesson_file = re.search(r"lessons/\d\d_\w+\.py", origin)
    assert lesson_file is not None
    assert f'"{path.stem}' in (ROOT / lesson_file[0]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LESSONS)
def test_no_lesson_is_unfinished(name: str) -> None:
    assert "CLAIMS" not in (ROOT / "lessons" / f"{name}.py").read_text(encoding="utf-8")


# Gradients in conflict


def test_the_problem_in_conflict_is_the_papers_and_the_live_run_is_what_it_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    module = lesson("05_gradients_in_conflict")
    L = module.losses(mm.tensor(np.array([[0.0, 7.0], [module.FRONT, module.FRONT]])))
    np.testing.assert_allclose(L["1"].numpy(), [-15.0916, -19.9893], atol=1e-4)
    np.testing.assert_allclose(L["2"].numpy(), [-15.0916, -0.3986], atol=1e-3)
    x = mm.tensor(np.random.default_rng(0).uniform(-9, 9, (2, 6))).requires_grad_()
    testing.gradcheck(lambda x: module.losses(x)["1"] + 2 * module.losses(x)["2"], x)
    ends = module.main(steps=60, out=tmp_path)
    assert set(ends) == {"mean", "mean, rate 0.01", "CAGrad, rate 0.01"}
    assert (tmp_path / "conflict.png").stat().st_size > 10_000
    assert "off the front" in capsys.readouterr().out


def test_where_gradients_in_conflict_end() -> None:
    three = table("conflict_three")
    off = {row[0]: sum("off the front" in cell for cell in row[1:]) for row in three.rows}
    assert off == {"mean": 2, "MGDA": 0, "PCGrad": 0, "CAGrad": 0, "mean, rate 0.01": 0}
    for cell in three.rows[3][1:]:
        a, b = map(float, cell.strip("()").split(", "))
        assert abs(a) < 0.01 and abs(b + 8.3552) < 0.01
    five = table("conflict_five")
    off = {row[0]: sum("off the front" in cell for cell in row[1:]) for row in five.rows}
    assert {name for name, n in off.items() if n == 0} == {"MGDA", "IMTL-G", "Nash-MTL", "FAMO"}
    assert (off["mean"], off["PCGrad"], off["CAGrad"]) == (2, 1, 1)


# Two regressions


def test_what_is_shared_helps_and_noise_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson("09_shared_subspace").main()
    assert found["hard sharing"] < found["each task alone"]
    assert found["noise"] > 1 / 12
    capsys.readouterr()
    both, third = table("shared_subspace"), table("third_task")
    alone = both.number("each task alone", "planted")
    assert both.number("hard sharing", "planted") < 0.55 * alone
    assert both.number("hard sharing, L2, λ = 0.01", "planted") < both.number("hard sharing", "planted")
    assert both.number("hard sharing, L2, λ = 0.1", "planted") > 0.8 * alone
    assert both.number("alone, L2, λ = 0.03", "planted") < alone
    assert both.number("soft, distance, λ = 1.0", "planted") < both.number("soft, trace norm, λ = 0.03", "planted")
    mean = both.number("the mean of the targets", "D2's noise")
    for name in ("each task alone", "hard sharing"):
        assert both.number(name, "D2's noise") > mean
    for name in ("frozen", "free"):
        gain, half = map(float, third[f"the shared layer, {name}"]["against scratch"].split(" ± "))
        assert gain < 0 < gain + half
    assert third.number("the shared layer, frozen", "test error") < third.number("the shared layer, free", "test error")


# Fifteen methods on two digits


def test_two_digits_in_a_picture_and_their_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson("07_two_digits").main(None)
    assert set(found) == {"sum", "uncertainty", "PCGrad"}
    assert min(found.values()) > 0.15  # a guess is right one time in ten
    assert "Δm" in capsys.readouterr().out
    methods = table("multimnist")
    assert len(methods.rows) >= 9 and methods.rows[0][0] == "each task alone"
    gains = {row[0]: methods[row[0]]["Δm, %"] for row in methods.rows[1:]}
    ends = {name: sum(map(float, gain.split(" ± "))) for name, gain in gains.items()}
    assert max(ends.values()) < 0  # no interval reaches 0
    assert min(gains, key=lambda name: methods.number(name, "Δm, %")) == "RLW"
    others = [methods.number(name, "Δm, %") for name in gains if name != "RLW"]
    assert max(others) - methods.number("sum", "Δm, %") < 0.1 and min(others) > -2.6


# Losses of different size


def test_which_weightings_hear_the_smaller_loss() -> None:
    rows = table("different_size")
    assert rows.about.startswith("What is left of each task's loss on test data") and "5 seeds" in rows.about
    left = {row[0]: (rows.number(row[0], "small"), rows.number(row[0], "large")) for row in rows.rows}
    both = {name: part(rows, name, "sum of both") for name in left}
    assert left["sum"][0] == pytest.approx(50, abs=5) and left["sum"][1] == pytest.approx(5, abs=1)
    assert [name for name, (small, large) in left.items() if max(small, large) < 10] == ["1/σ², by hand", "FAMO"]
    assert left["1/σ², by hand"][1] < left["sum"][1] + 3
    width = {name: high - low for name, (low, high) in both.items()}
    assert min(width, key=lambda name: width[name]) == "FAMO"
    for name in ("GradNorm", "DWA"):  # within the noise of the sum
        assert both[name][0] < both["sum"][1] and both["sum"][0] < both[name][1]
    ratio = {name: rows.number(name, "weight of small over large") for name in left}
    assert ratio["GradNorm"] == pytest.approx(60, abs=5)
    assert all(900 < ratio[name] < 1100 for name in ("uncertainty", "IMTL-L"))
    assert all(width[name] > 1.5 * width["sum"] for name in ("uncertainty", "IMTL-L"))
    assert left["GLS"][0] < 1 and left["GLS"][1] > 40
    assert both["RLW"][0] < 0 < both["sum"][1] < rows.number("RLW", "sum of both")


def test_the_problem_of_different_sizes_and_its_live_run(capsys: pytest.CaptureFixture[str]) -> None:
    module = lesson("06_losses_of_different_size")
    found = module.main(epochs=1)
    assert found["GLS"] < found["sum"]
    assert "weight of small over large" in capsys.readouterr().out
    x, small, large = module.problem(0)["test"].tensors
    np.testing.assert_allclose(np.linalg.norm(x.numpy(), axis=1), 1, rtol=1e-5)
    assert 50 < large.numpy().std() / small.numpy().std() < 200


# A dial for relatedness


def test_the_dial_turns_the_tasks_from_apart_to_one() -> None:
    module = lesson("08_how_related")
    for p in module.DIAL:
        w = module.directions(p, np.random.default_rng(3))
        lengths = np.linalg.norm(w, axis=1)
        assert lengths == pytest.approx(1)
        assert w[0] @ w[1] / lengths.prod() == pytest.approx(p)
    train, test = module.samples(1.0, 3)
    y1, y2 = test.tensors[1].numpy().T
    np.testing.assert_allclose(y1, y2, atol=1e-5)
    noise = np.subtract(*train.tensors[1].numpy().T)
    assert noise.std() == pytest.approx(2**0.5 * module.NOISE, rel=0.1)
    y1, y2 = module.samples(0.0, 3)[1].tensors[1].numpy().T
    assert abs(np.corrcoef(y1, y2)[0, 1]) < 0.1


def test_the_networks_of_the_dial_have_the_sizes_that_it_says() -> None:
    module = lesson("08_how_related")
    text = (ROOT / "lessons" / "08_how_related.py").read_text(encoding="utf-8")
    for variant, make in module.SHARING.items():
        size = sum(p.numel() for p in make(*("1",) if variant == "alone" else ("1", "2")).parameters())
        assert f"{size} parameters" in text or f"({size})" in text or f"{size} with both heads" in text, (variant, size)


def test_the_dial_is_told_live_and_from_its_study(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    numbers = lesson("08_how_related").main(epochs=2, out=tmp_path)
    assert len(numbers) == 6
    assert all(0 < error < 3 for error in numbers.values())
    assert (tmp_path / "how_related.png").stat().st_size > 10_000
    assert "How related must two tasks be" in capsys.readouterr().out


def test_a_study_of_the_dial_keeps_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = lesson("08_how_related")
    first = module.errors("alone", 0.5, 0.01, [0, 1], 1, tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 4
    monkeypatch.setattr(module, "loaders", None)
    assert module.errors("alone", 0.5, 0.01, [0, 1], 1, tmp_path) == first
    cells = module.row(0.5, dict.fromkeys(module.SHARING, first))
    assert cells[-2] == "1 undecided, 2 undecided, mean undecided"


def test_negative_transfer_begins_where_the_lesson_says() -> None:
    rows = table("relatedness_dial")
    assert "12 seeds" in rows.about
    dial = [row[0] for row in rows.rows]
    said = {p: rows[p]["hard against alone"].split(", ") for p in dial}
    assert {p: verdicts[2] for p, verdicts in said.items() if verdicts[2] != "mean undecided"} == {
        "0.25": "mean loses",
        "0.5": "mean loses",
    }
    loss = {p: -rows.number(p, "gain of mean") / rows.number(p, "alone") for p in dial}
    assert loss["0.25"] == pytest.approx(1 / 4, abs=0.03) and loss["0.5"] == pytest.approx(1 / 3, abs=0.03)
    assert loss["0.0"] > 0 and loss["0.75"] > 0 > loss["1.0"]
    assert [p for p in dial if said[p][1] == "2 loses"] == ["0.25", "0.5"]
    assert {verdicts[0] for verdicts in said.values()} == {"1 undecided"}
    others = {p: dict(verdict.split(" ") for verdict in rows[p]["others, mean"].split(", ")) for p in dial}
    assert [p for p in dial if others[p]["wide"] == "loses"] == ["0.5"] == [p for p in dial if others[p]["MMoE"] == "loses"]
    assert [p for p in dial if others[p]["CGC"] == "gains"] == ["0.75", "1.0"]
    assert "loses" not in {others[p]["CGC"] for p in dial}


# Two tasks with pictures of their own


def test_two_sizes_fit_one_base_and_what_is_said_of_them_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    module = lesson("12_two_sizes")
    x = {"digit": mm.zeros(2, 1, 28, 28), "stroke": mm.zeros(3, 1, 20, 20)}
    assert {k: y.shape for k, y in module.network()(x).items()} == {"digit": (2, 10), "stroke": (3, 3)}
    last = module.main(epochs=1)
    assert {"validation digit accuracy", "validation stroke accuracy"} <= set(last)
    assert "verdict" in capsys.readouterr().out
    rows = table("two_sizes")
    assert "8 seeds" in rows.about
    for k, loss in (("digit", 14), ("stroke", 3)):
        low, high = part(rows, k, "gain")
        assert rows[k]["verdict"] == "loses" and high < -0.5
        assert round(-(low + high) / 2) == loss


# From a folder of pictures


def test_a_folder_is_drawn_split_and_learnt_from(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = lesson("16_from_a_folder")
    folder = module.ImageFolder(module.draw(tmp_path / "a", 20, 3), module.plain, module.labels, size=module.SIDE).check()
    assert len(folder) == 20 and folder.targets == sorted([*range(10)] * 2) and folder.classes == sorted(module.NAMES)
    again = module.draw(tmp_path / "b", 20, 3)
    for path, _ in folder.samples:
        assert (again / Path(path).relative_to(tmp_path / "a")).read_bytes() == Path(path).read_bytes()
    assert module.network(module.SIDE)(mm.zeros(2, 3, 128, 128)).shape == (2, 10)
    last = module.main(pictures=50, epochs=1)
    assert last["loss"] < 3
    assert "the weights of epoch 1 are back" in capsys.readouterr().out


def test_what_is_said_of_augmentation_is_in_the_table() -> None:
    rows = table("from_a_folder")
    assert "5 seeds" in rows.about and "of 300 pictures" in rows.about and "32 × 32" in rows.about
    first, second, third = (row[0] for row in rows.rows)
    assert (rows.number(first, "accuracy"), rows.number(second, "accuracy")) == pytest.approx((91.6, 95.7), abs=0.05)
    gains = {name: part(rows, name, "gain") for name in (second, third)}
    assert 0 < gains[second][0] < 1 and round(sum(gains[second]) / 2) == 4
    assert round(sum(gains[third]) / 2) == 3 and gains[second][0] < gains[third][1] and gains[third][0] < gains[second][1]
    assert rows.number(first, "best epoch") < rows.number(second, "best epoch") == rows.number(third, "best epoch") == 39
