"""Every lesson runs, does nothing when imported, and shows what it says."""

import re
import subprocess
import sys
from itertools import combinations
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


# Several sources


def test_several_sources_live_and_in_their_table(capsys: pytest.CaptureFixture[str]) -> None:
    module = lesson("17_several_sources")
    found = module.main(n=300, epochs=1, steps=20)
    assert set(found) == {"nothing", "mask", "all four"} and all(0 <= a <= 1 for a in found.values())
    assert "Several source tasks" in capsys.readouterr().out
    rows = table("several_sources")
    assert "8 seeds" in rows.about and "MNIST" in rows.about
    few, more = ({row[0]: part(rows, row[0], f"{n} labels a class, gain") for row in rows.rows[1:]} for n in (5, 20))
    middle = {name: (low + high) / 2 for name, (low, high) in more.items()}
    assert middle["parity"] == pytest.approx(3.5, abs=0.05) and more["parity"][0] > 0
    assert all(by["angle"][0] < 0 < by["angle"][1] for by in (few, more))
    assert few["mask"][1] < -4 and sum(few["mask"]) / 2 == pytest.approx(-6.4, abs=0.05) and middle["mask"] < 0
    assert all(abs(middle[name] - middle["parity"]) < 0.5 for name in ("parity, angle", "all four"))
    assert {name for name, (low, _) in few.items() if low > 0} == {"parity, angle"}
    assert {name for name, (_, high) in few.items() if high < 0} == {"mask", "weight, mask"}


# Five varied tasks


def test_five_tasks_and_their_measures_live(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = lesson("11_five_tasks")
    found = module.main(sizes=(300, 200), epochs=1, out=tmp_path)
    matrices = found["matrices"]
    assert len(matrices) == 5 == len(list(tmp_path.glob("five_tasks_*.png")))
    assert matrices["label correlation"]["digit", "parity"] == 1
    for name, matrix in matrices.items():
        assert np.allclose(matrix.matrix, matrix.matrix.T, equal_nan=True) == (name != "affinity in percent")
    assert set(found["alone"]) == set(found["together"]) == set(module.NAMES)
    said = capsys.readouterr().out
    assert said.count("; proposes ") == 5 and f"Δm {found['Δm']:+.1f} %" in said
    assert said.count("Made by `python lessons/11_five_tasks.py --study RUNS`") == 3


def test_one_weight_in_ten_is_known_and_what_is_missing_does_not_count() -> None:
    module = lesson("11_five_tasks")
    training, test = module.loaders((2000, 500), 0)
    [(x, y)] = test
    known = training.dataset.targets["weight"].numpy() != -100
    assert 0.08 < known.mean() < 0.12
    assert set(y["weight"].numpy()) == {0, 1, 2}
    model = module.network(*module.NAMES)
    trainer = module.mtl.Trainer(model, module.tasks(*module.NAMES), module.optim.Adam(model.parameters(), 0.01))
    some = np.where(np.arange(500) < 40, y["weight"].numpy(), -100)
    first, part = trainer.evaluate([(x, {**y, "weight": mm.tensor(some)})]), {k: v[:40] for k, v in y.items()}
    assert first["weight f1"] == trainer.evaluate([(x[:40], part)])["weight f1"]
    assert first["mask iou"] == trainer.evaluate(test)["mask iou"]
    with mm.no_grad():  # per pixel, not per row: the definition once more
        mask, said = y["mask"].numpy(), model(x)["mask"].numpy()[:, 0] > 0
    shares = [(a & b).sum() / (a | b).sum() for a, b in ((mask, said), (~mask, ~said))]
    assert first["mask iou"] == pytest.approx(np.mean(shares))


def test_five_tasks_are_divided_in_sixteen_ways_and_an_error_that_falls_is_a_gain() -> None:
    module = lesson("11_five_tasks")
    groups = {
        g: {k: [0.5] for k in g.split(" + ")} for n in range(1, 6) for g in map(" + ".join, combinations(module.NAMES, n))
    }
    ways = module.divided({**groups, "all together, per label": {}})
    assert len(groups) == 31 and len(ways) == 17
    assert all(set(of) == set(module.NAMES) for name, of in ways.items() if "label" not in name)
    assert {"all together", "digit + parity / angle + weight + mask"} <= set(ways)
    alone = {"angle": [0.2, 0.2], "mask": [0.5, 0.5]}
    assert module.gains({"angle": [0.1, 0.2], "mask": [0.5, 0.6]}, alone) == pytest.approx([25, 10])


def ends(cell: str) -> tuple[float, float]:
    """The two ends of an interval, whatever verdict follows."""
    mean, half = map(float, cell.split(",")[0].split(" ± "))
    return mean - half, mean + half


def test_what_is_said_of_one_network_and_of_two_is_in_the_table() -> None:
    found = table("five_tasks")
    best = dict(re.findall(r"(\w+) (0\.\d+)", found.about.split("rates: ")[1]))
    assert [float(lr) for lr in best.values()] == list(lesson("11_five_tasks").BEST.values())
    assert "the weight known for a tenth" in found.about and "8 other seeds" in found.about
    joint = [row for row in found.rows if row[0] != "each task alone"]
    assert len(joint) == 19 and all(ends(row[-2])[1] < 0 for row in joint)
    assert found["all together"]["Δm, %"].startswith("-11.57") and all(
        "loses" in found["all together"][c] for c in found.columns[1:6]
    )
    for variant in ("twice as wide", "uncertainty", "per label"):
        low, high = ends(found[f"all together, {variant}"]["− all together"])
        assert low < 0 < high
    assert round(found.number("all together, per label", "weight f1")) == 39
    assert ends(found["all together, per label"]["weight f1"])[1] < ends(found["all together"]["weight f1"])[0]
    two = [row for row in joint if " / " in row[0]]
    assert len(two) == 15 and sum(ends(row[-1])[0] > 0 for row in two) == 7
    for name, *_ in found.rows[:4]:  # the four best
        [group] = [part for part in name.split(" / ") if "angle" in part]
        assert "digit" not in group and "mask" not in group
    gaining = [(row[0], found.columns[i]) for row in joint for i, cell in enumerate(row) if "gains" in cell]
    assert gaining == [("digit + parity + mask / angle + weight", "parity f1")]


def test_what_is_said_of_relatedness_is_in_the_tables() -> None:
    groups, matrices = table("five_tasks_groups"), table("five_tasks_matrices")
    mean = groups.number("none", "Δm, %")
    assert round(groups.number("none", "− all together"), 1) == 3.3 and ends(groups["none"]["− all together"])[0] > 0
    for name in ("label correlation", "label information", "CKA of features", "gradient cosine"):
        assert groups[name]["proposes"] == "digit + parity / angle + weight + mask" and groups[name]["place of 16"] == "14"
        assert groups.number(name, "Δm, %") < mean and ends(groups[name]["− all together"])[0] < 0
    assert groups["affinity in percent"]["place of 16"] == "8" and groups["gain of pairs"]["place of 16"] == "5"
    assert all(-0.05 < groups.number(row[0], "rank correlation") < 0.15 for row in groups.rows[:5])
    for name in ("label correlation", "label information", "gradient cosine", "CKA of features"):
        others = [matrices.number(f"{name}: weight", k) for k in ("digit", "parity", "angle")]
        assert matrices.number(f"{name}: weight", "mask") > max(others)
    assert round(matrices.number("gain of pairs: weight", "mask")) == -19
    by_chance = (9 * 2 / (200 * 2)) ** 0.5  # √(degrees of freedom / (N q)) of Cramér's V
    assert abs(matrices.number("label correlation: digit", "weight") - by_chance) < 0.02


# From printed to written


def test_the_targets_labels_are_not_there_in_training() -> None:
    module = lesson("15_from_printed_to_written")
    parts = module.pictures(None, (64, 32), 0)
    assert {k: len(y) for k, (_, y) in parts.items()} == {"source": 64, "target": 64, "source test": 32, "target test": 32}
    labels = {k: {int(y) for _, batch in loader for y in batch} for k, loader in module.loaders(parts).items()}
    assert labels["target"] == {0} and len(labels["source"]) > 5


def test_the_live_run_of_an_adaptation_tells_of_most_methods(capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson("15_from_printed_to_written").main(None, (96, 48), 1)
    names = [row[0] for row in table("printed_to_written").rows]
    assert set(names) - set(found) == {"both in a batch, λ = 0", "deep CORAL", "MMD"}
    assert all(0 <= right <= 1 for right in found.values())
    assert "A-distance" in capsys.readouterr().out


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


# Small models, and looking inside


def test_small_models_live_and_their_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = lesson("18_small_and_seen")
    for make in (module.teacher, module.student):
        assert f"{sum(p.numel() for p in make().parameters()):,} parameters" in make.__doc__
    found = module.main(epochs=2, out=tmp_path)
    assert found["teacher"] > 0.5 and abs(found["int8"] - found["teacher"]) < 0.02
    assert found["pruned 95%"] < found["teacher"]
    assert found["saliency on ink"] > 2 * found["ink"] and found["alike"] < 0.7
    assert all((tmp_path / name).stat().st_size > 5_000 for name in ("seen.png", "filters.png"))
    assert "Correlation of saliency" in capsys.readouterr().out


def test_what_is_said_of_small_models_is_in_the_table() -> None:
    rows = table("small_models")
    assert "8 seeds" in rows.about
    accuracy = {row[0]: rows.number(row[0], "accuracy") for row in rows.rows}
    size, work = (
        {row[0]: int(rows[row[0]][column].replace(",", "")) for row in rows.rows} for column in ("bytes", "multiply-adds")
    )
    for name in ("teacher, trained on", "pruned 50%", "pruned 50%, fine-tuned", "pruned 80%, fine-tuned", "int8"):
        low, high = part(rows, name, "against the teacher")
        assert low < 0 < high, name
    assert part(rows, "pruned 80%", "against the teacher")[1] < 0
    assert [round(accuracy[f"pruned 90%{rest}"]) for rest in ("", ", fine-tuned")] == [72, 97]
    assert round(rows.number("pruned 90%, fine-tuned, int8", "against the teacher"), 1) == -1.3
    assert part(rows, "pruned 90%, fine-tuned", "against the teacher")[1] < 0
    assert accuracy["pruned 95%, fine-tuned"] < accuracy["pruned 90%, fine-tuned"] - 10
    assert rows["int8"]["against the teacher"] == "+0.01 ± 0.03"
    assert size["teacher"] / size["int8"] == pytest.approx(4, abs=0.2)
    assert size["teacher"] / size["pruned 90%, fine-tuned, int8"] == pytest.approx(15, abs=0.5)
    assert size["student alone"] == pytest.approx(size["pruned 90%, fine-tuned, int8"], rel=0.05)
    assert round(accuracy["student alone"]) == 89
    assert part(rows, "student alone", "accuracy")[1] < part(rows, "pruned 90%, fine-tuned, int8", "accuracy")[0]
    assert work["student alone"] == pytest.approx(work["pruned 90%, fine-tuned"] / 2, rel=0.05)
    alone = part(rows, "student alone", "accuracy")
    for name in ("student distilled", "student distilled, T = 4"):
        assert alone[0] < rows.number(name, "accuracy") < alone[1]


# Frozen means frozen


def test_frozen_live_and_in_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson("13_frozen").main(side=32, source=300, epochs=1)
    assert (found["requires_grad = False"], found["transfer.freeze"]) == (60, 0)
    assert found["transfer.freeze: lost"] == 0 and found["apart"] < 1e-4
    assert "changed beside fc: 60 tensors" in capsys.readouterr().out
    rows = table("drift")
    assert "8 seeds" in rows.about and "real MNIST" in rows.about
    drifting, fixed = (
        {c: part(rows, way, c) for c in ("source lost", "target")} for way in ("requires_grad = False", "transfer.freeze")
    )
    assert sum(drifting["source lost"]) / 2 == pytest.approx(0.4, abs=0.05) and drifting["source lost"][0] > 0
    assert fixed["source lost"] == (0, 0)
    assert sum(drifting["target"]) > sum(fixed["target"]) and drifting["target"][0] < fixed["target"][1]


def test_no_adaptation_gains_and_one_loses() -> None:
    rows = table("printed_to_written")
    assert rows.about.startswith("5 seeds") and "real MNIST" in rows.about
    gains = {row[0]: part(rows, row[0], "target − none") for row in rows.rows[1:]}
    assert [name for name, (low, high) in gains.items() if not low < 0 < high] == ["DANN"]
    assert rows.number("DANN", "target − none") == -3.5
    assert {name for name, (low, high) in gains.items() if (high - low) / 2 > 2} == {"MMD", "DANN"}
    assert round(rows.number("none", "target")) == 68 and round(rows.number("none", "source")) == 99
    apart = {row[0]: rows.number(row[0], "A-distance") for row in rows.rows}
    assert round(apart["none"], 1) == 1.2 and round(apart["new head"], 1) == 0.5
    assert all(apart[name] < apart["none"] / 2 for name in apart if name.startswith("new head"))
    assert apart["MMD"] == pytest.approx(apart["none"] / 2, abs=0.1)
    assert round(apart["DANN"], 1) == 1.4 and part(rows, "DANN", "A-distance")[0] > part(rows, "none", "A-distance")[1]
    assert abs(apart["deep CORAL"] - apart["none"]) < 0.05


# Digits that were never seen


def test_codes_are_those_of_a_seven_segment_display_and_pairs_deal_all_digits() -> None:
    module = lesson("19_unseen_digits")
    assert module.CODES.shape == (10, 7) and len({tuple(row) for row in module.CODES}) == 10
    assert ((module.CODES > 0).sum(axis=1) == [6, 2, 5, 5, 4, 5, 6, 3, 7, 6]).all()  # how many segments each digit lights
    for seed in module.SEEDS:
        assert sorted(c for pair in module.pairs(seed) for c in pair) == list(range(10))


def test_unseen_digits_are_never_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    module, given = lesson("19_unseen_digits"), []

    def way(x: mm.Tensor, y: np.ndarray, codes: np.ndarray, epochs: int) -> object:
        given.append((x, y, codes))
        return module.trunk(), module.transfer.Compatibility(module.WIDTH, codes)

    module.split(way, [3, 8], 0, module.CODES, 1, 200)
    (x, y, codes), (pictures, digits) = given[0], module.pictures(200, 0)
    kept = ~np.isin(digits, [3, 8])
    np.testing.assert_array_equal(x.numpy(), pictures.numpy()[kept])
    np.testing.assert_array_equal(codes[y], module.CODES[digits[kept]])
    assert len(codes) == 8


def test_unseen_digits_live(capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson("19_unseen_digits").main()
    assert set(found) == {"of two", "unseen, of ten", "seen, of ten", "harmonic mean"}
    assert found["seen, of ten"] > 0.5
    said = capsys.readouterr().out
    assert "Never seen" in said and "Which digits" in said


def test_what_is_said_of_unseen_digits_is_in_the_tables() -> None:
    module, rows, each = lesson("19_unseen_digits"), table("unseen_digits"), table("unseen_which")
    assert "5 seeds" in rows.about and "a guess has 50 of two and 10 of ten" in rows.about
    two = {name: part(rows, name, "of two") for name in module.WAYS}
    assert all(low > 50 for low, _ in two.values())
    assert max(low for low, _ in two.values()) < min(high for _, high in two.values())
    assert (rows.number("attributes", "of two"), rows.number("classes", "of two")) == (67.5, 72.8)
    low, high = part(rows, "attributes of other digits", "of two")
    assert low < 50 < high
    assert part(rows, "attributes", "unseen, of ten")[1] < 10 and rows.number("attributes", "unseen, of ten") == 8
    assert rows.number("closed form", "unseen, of ten") == pytest.approx(50, abs=3)
    assert rows.number("closed form", "seen, of ten") == pytest.approx(50, abs=3)
    assert rows.number("classes", "seen, of ten") == pytest.approx(90, abs=1)
    assert part(rows, "closed form", "harmonic mean")[0] > part(rows, "attributes", "harmonic mean")[1]
    assert part(each, "2", "of two")[1] < 1 and part(each, "2", "of ten") == (0, 0)
    assert min(each.number(row[0], "of two") for row in each.rows if row[0] != "2") >= 40
    dark = module.CODES < 0
    assert dark[:, 2].sum() == 1 and dark[2, 2]
    assert all(dark[:, i].sum() > 1 for i in range(7) if i != 2)
    apart = (module.CODES[:, None] != module.CODES).sum(axis=2) + 9 * np.eye(10, dtype=int)
    assert apart.min(axis=1).max() <= 2


def test_what_is_said_of_augmentation_is_in_the_table() -> None:
    rows = table("from_a_folder")
    assert "5 seeds" in rows.about and "of 300 pictures" in rows.about and "32 × 32" in rows.about
    first, second, third = (row[0] for row in rows.rows)
    assert (rows.number(first, "accuracy"), rows.number(second, "accuracy")) == pytest.approx((91.6, 95.7), abs=0.05)
    gains = {name: part(rows, name, "gain") for name in (second, third)}
    assert 0 < gains[second][0] < 1 and round(sum(gains[second]) / 2) == 4
    assert round(sum(gains[third]) / 2) == 3 and gains[second][0] < gains[third][1] and gains[third][0] < gains[second][1]
    assert rows.number(first, "best epoch") < rows.number(second, "best epoch") == rows.number(third, "best epoch") == 39


# How many labels, without forgetting, which source


def gain(rows: Table, way: str, column: str) -> tuple[float, float]:
    """The two ends of the gain in brackets."""
    mean, half = rows[way][column].split("(")[1].rstrip(")").split(" ± ")
    return float(mean) - float(half), float(mean) + float(half)


def test_how_many_labels_and_where_transfer_stops_paying() -> None:
    printed, other, more = (table(f"labels_{name}") for name in ("printed", "0_to_4", "more"))
    shots, ways = printed.columns[1:], [row[0] for row in printed.rows[1:]]
    assert all("5 seeds" in rows.about for rows in (printed, other, more))
    for n in shots[:4]:
        assert any(gain(printed, way, n)[0] > 0 for way in ways)
    assert not any(gain(printed, way, shots[4])[0] > 0.05 for way in ways)
    at = {(way, n): round(sum(gain(printed, way, n)) / 2) for way in ways for n in shots}
    assert (at["frozen through 84", shots[0]], at["full", shots[0]]) == (19, 12)
    assert (at["frozen through conv 2", shots[1]], at["frozen through conv 2", shots[3]]) == (10, 2)
    assert max(ways, key=lambda way: sum(gain(printed, way, shots[1]))) == "frozen through conv 2"
    assert printed.number("frozen through 84", shots[4]) - printed.number("scratch", shots[4]) == pytest.approx(-8.5, abs=0.05)
    for way in ("LoRA", "L2-SP"):
        assert gain(printed, way, shots[1])[0] > 0 and gain(printed, way, shots[1])[1] > gain(printed, "full", shots[1])[0]
    assert all(gain(more, row[0], shots[1])[0] > 0 for row in more.rows[1:])
    deep = [gain(other, "frozen through 84", n) for n in (shots[1], shots[4])]
    assert [round(sum(ends) / 2) for ends in deep] == [-11, -12] and all(high < 0 for _, high in deep)
    kept = [gain(other, "frozen through conv 2", n) for n in shots]
    assert round(sum(kept[1]) / 2) == 5 and kept[1][0] > 0 and all(high > 0 for _, high in kept)


def test_how_many_labels_live(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = lesson("14_how_many_labels")
    found = module.main(out=tmp_path, n=200, steps=10)
    assert set(found) == {"scratch", "frozen through 84", "full", "LoRA"}
    assert (tmp_path / "labels_printed.png").stat().st_size > 10_000
    assert capsys.readouterr().out.count("How many labels, source") == 3


def test_the_old_task_is_kept_as_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson("20_without_forgetting").main(n=300, epochs=1)
    assert set(found) == {"before", "fine-tuning", "without forgetting", "replay"}
    assert "forgotten" in capsys.readouterr().out
    rows = table("without_forgetting")
    assert "8 seeds" in rows.about
    lost = {row[0]: (rows.number(row[0], "forgotten"), rows.number(row[0], "angle")) for row in rows.rows}
    assert [round(n) for n in lost["fine-tuning"]] == [60, 68] and [round(n) for n in lost["new head alone"]] == [0, 40]
    assert part(rows, "without forgetting", "forgotten")[0] < 0 and round(lost["without forgetting"][1]) == 66
    assert lost["replay"][0] < 1.5 and lost["replay"][1] == pytest.approx(lost["without forgetting"][1], abs=1)
    assert [round(n) for n in lost["EWC"]] == [7, 58]


def test_which_source_is_told_and_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = lesson("21_which_source").main(n=200, epochs=1, steps=10)
    assert len(found["tuned"]) == 6 and set(found["τ"]) >= {"LogME", "LEEP", "CKA"}
    assert "weighted τ" in capsys.readouterr().out
    scores, sources = table("source_scores"), table("six_sources")
    for by in ("LogME", "H-score", "LEEP", "NCE"):
        assert scores[by]["finds the best"] == "7 of 8" and scores.number(by, "points lost by its choice") <= 0.3
        assert scores.number(by, "weighted τ") == pytest.approx(0.6, abs=0.05) and part(scores, by, "weighted τ")[0] > 0
    assert scores.number("CKA", "weighted τ") > 0.6 > 0.4 > scores.number("accuracy", "weighted τ")
    assert scores.number("A-distance", "weighted τ") < 0 and scores["A-distance"]["finds the best"] == "0 of 8"
    apart = {row[0]: sources.number(row[0], "A-distance") for row in sources.rows}
    assert min(apart, key=lambda name: apart[name]) == "noise"
    tuned = sorted(sources.number(row[0], "fine-tuned") for row in sources.rows)
    assert tuned[3] - tuned[0] < 2
