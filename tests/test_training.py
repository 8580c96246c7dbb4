"""History, progress, and text for consoles of any encoding."""

import io
import re
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim, plot
from minimtl.training import Callback, EarlyStopping, History, Means, Scheduled, Table, progress, readable, say


def filled() -> History:
    history = History()
    for epoch in (1, 2):
        history.append(
            {"epoch": epoch, "loss": 2.0 / epoch, "digit loss": 1.5, "digit accuracy": 0.25 * epoch,
             "validation digit accuracy": 0.5, "seconds": 3.21}
        )  # fmt: skip
    return history


@given(st.lists(st.tuples(st.floats(-10, 10), st.integers(1, 5)), min_size=1))
def test_means_weigh_every_sample_alike(values: list[tuple[float, int]]) -> None:
    means = Means()
    for value, n in values:
        means.add("x", value, n)
    spread = [value for value, n in values for _ in range(n)]
    assert means.values()["x"] == pytest.approx(sum(spread) / len(spread), abs=1e-12)


def test_the_table_has_a_header_and_a_line_for_each_epoch() -> None:
    lines = filled().table().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].split() == ["2", "1.0000", "1.5000", "50.00", "%", "50.00", "%", "3.2"]
    assert [line.split() for line in lines[:3]] == [
        ["valid."], ["digit", "digit", "digit"], ["epoch", "loss", "loss", "accuracy", "accuracy", "seconds"],
    ]  # fmt: skip
    assert filled().table(header=False, rows=filled().rows[:1]).splitlines() == [lines[-2]]


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "cp1252", "ascii"])
def test_text_is_readable_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "L = Σₜ αₜ Lₜ, ŷ² ≤ ∂φ/∂θₖ → −½ … 数"
    assert readable(text, encoding).encode(encoding)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    say(text)
    assert raw.getvalue()


def test_ascii_spells_the_signs_out() -> None:
    assert readable("L = Σₜ αₜ Lₜ → θ′", "ascii") == "L = sum_t alpha_t L_t -> theta'"
    assert readable("Lₜ Σ", "gbk") == "L_t Σ"
    assert readable("plain", "ascii") == "plain"


@given(st.text())
def test_nothing_cannot_be_printed(text: str) -> None:
    assert readable(text, "ascii").isascii()
    assert readable(text.encode("utf-8", "ignore").decode(), "utf-8") == text.encode("utf-8", "ignore").decode()


def test_without_a_terminal_progress_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), "x")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_progress_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress(range(3), "epoch 1/3")) == [0, 1, 2]
    assert "epoch 1/3" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_learning_curves_have_a_panel_for_each_quantity_and_a_line_for_each_series() -> None:
    figure = plot.learning_curves(filled(), "title")
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert [line.get_label() for line in loss.lines] == ["weighted sum", "digit"]
    assert [(line.get_label(), line.get_linestyle()) for line in accuracy.lines] == [
        ("digit", "-"),
        ("digit, validation", "--"),
    ]
    assert accuracy.lines[0].get_color() == accuracy.lines[1].get_color() == loss.lines[1].get_color()
    assert list(accuracy.lines[0].get_ydata()) == [0.25, 0.5]


# Tables that studies leave


@given(
    st.lists(
        st.lists(st.text("abcλ−± 0123456789.%", min_size=1, max_size=8).map(str.strip), min_size=3, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_a_table_is_read_as_it_was_written(rows: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Table("A study", ["name", "x", "y"], about="5 seeds")
        for row in rows:
            table.add(*row)
        table.save(Path(folder) / "deep" / "t.md", command="python study.py --seeds 5")
        again = Table.read(Path(folder) / "deep" / "t.md")
    assert (again.title, again.columns, again.about, again.rows) == (table.title, table.columns, table.about, table.rows)
    assert re.fullmatch(
        r"Made by `python study.py --seeds 5` on \d{4}-\d\d-\d\d with minimtl .*, NumPy .*, Python .*\.", again.origin
    )


def test_a_cell_is_asked_for_by_its_names() -> None:
    table = Table("A study", ["name", "x"])
    table.add("first", "-1.5 ± 0.2")
    table.add("second", "97 %")
    assert table["first"] == {"name": "first", "x": "-1.5 ± 0.2"}
    assert (table.number("first", "x"), table.number("second", "x")) == (-1.5, 97)
    with pytest.raises(KeyError, match="no row 'third'; there are"):
        table["third"]
    with pytest.raises(KeyError, match="no column 'y'"):
        table.number("first", "y")
    with pytest.raises(ValueError, match="needs 2 cells"):
        table.add("x")
    with pytest.raises(ValueError, match=r"no \|"):
        table.add("a|b", "1")


def test_a_file_without_a_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.md").write_text("# Title\n\nNothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no table with a title and its origin"):
        Table.read(tmp_path / "t.md")


# Callbacks


def trainer(model: nn.Module, lr: float = 0.1) -> mtl.Trainer:
    return mtl.Trainer(model, [mtl.Task("y", nn.MSELoss(), metrics=["r2"])], optim.SGD(model.parameters(), lr=lr))


def regression() -> list[tuple[mm.Tensor, mm.Tensor]]:
    mm.manual_seed(0)
    x = mm.randn(8, 3)
    return [(x[i : i + 4], x[i : i + 4].sum(dim=1, keepdim=True)) for i in (0, 4)]


class Told(Callback):
    """Notes when it is called, and what the weights were after each epoch."""

    def __init__(self, weights: list[bytes] | None = None) -> None:
        self.said, self.weights = [], [] if weights is None else weights

    def before_epoch(self, run: mtl.Trainer, epoch: int, epochs: int) -> None:
        self.said.append(f"epoch {epoch} of {epochs}")

    def after_step(self, run: mtl.Trainer) -> None:
        self.said.append("step")

    def after_epoch(self, run: mtl.Trainer, row: dict[str, float]) -> bool:
        self.said.append("over")
        self.weights.append(run.model.weight.array.tobytes())
        return len(self.weights) == 2

    def finish(self, run: mtl.Trainer) -> None:
        self.said.append("finish")


def test_callbacks_are_called_in_order_and_may_end_a_run_of_a_model_with_one_output() -> None:
    told, data = Told(), regression()
    history = trainer(nn.Linear(3, 1)).fit(data, epochs=5, verbose=False, callbacks=[told])
    assert told.said == ["epoch 1 of 5", "step", "step", "over", "epoch 2 of 5", "step", "step", "over", "finish"]
    assert len(history) == 2 and "y r2" in history.names()


@pytest.mark.parametrize(
    ("monitor", "values", "best", "epochs"),
    [
        ("validation loss", [3.0, 2.0, 2.5, 2.4, 9.0, 1.0], 2, 4),
        ("validation y r2", [0.1, 0.5, 0.6, float("nan"), 0.2, 0.7], 3, 5),
        ("validation loss", [float("nan"), 2.0, 1.0, 0.5], 4, 4),
    ],
)
def test_early_stopping_gives_back_the_weights_of_the_best_epoch(
    monitor: str, values: list[float], best: int, epochs: int
) -> None:
    told, model = Told(), nn.Linear(3, 1)
    told.after_epoch = lambda run, row: told.weights.append(run.model.weight.array.tobytes())
    stop = EarlyStopping(monitor, patience=2)
    run = trainer(model)
    run.evaluate = lambda loader: {monitor.removeprefix("validation "): values[len(told.weights)]}
    history = run.fit(regression(), len(values), validation=[], verbose=False, callbacks=[told, stop])
    assert (len(history), stop.epoch) == (epochs, best)
    assert stop.best == values[best - 1]
    assert model.weight.array.tobytes() == told.weights[best - 1]
    assert len(set(told.weights)) == epochs


def test_a_schedule_is_stepped_by_epoch_or_by_step() -> None:
    for every, n in (("epoch", 3), ("step", 6)):
        run = trainer(nn.Linear(3, 1))
        run.fit(regression(), 3, verbose=False, callbacks=[Scheduled(optim.lr_scheduler.StepLR(run.optimizer, 1, 0.5), every)])
        assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**n)


def test_refusals_of_callbacks() -> None:
    with pytest.raises(KeyError, match="no 'validation loss' is recorded"):
        trainer(nn.Linear(3, 1)).fit(regression(), verbose=False, callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="patience ≥ 1"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="every must be 'epoch' or 'step'"):
        Scheduled(optim.lr_scheduler.StepLR(optim.SGD(nn.Linear(1, 1).parameters(), lr=1), 1), "batch")
