"""History, progress, and text for consoles of any encoding."""

import io
import re
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimtl import plot
from minimtl.training import History, Means, Table, progress, readable, say


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
