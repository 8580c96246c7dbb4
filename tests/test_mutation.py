"""The tests notice changes to the code: `python -m tests.mutation` on a sample."""

from collections import Counter

import pytest

pytestmark = pytest.mark.mutation

SOURCE = """@overload
def f(x: int | None = 1 + 2) -> int | str: ...
def f(x: int | None = 3 + 4) -> int | str:
    y: "int" | None = f"φ {5 + 6}" + (7 + 8)
"""


def test_text_and_types_are_left_alone(tmp_path, monkeypatch):
    mutants = pytest.importorskip("tests.mutation.mutants")
    monkeypatch.setattr(mutants, "MUTATED", ("source.py",))
    (tmp_path / "source.py").write_text(SOURCE, encoding="utf-8")
    found = mutants.all_mutants(tmp_path)
    # a + has eleven others in its place, a number is one more or one less: 3 + 4 on line 3, … + (7 + 8) on line 4
    assert Counter(m.line for m in found) == {3: 11 + 4, 4: 2 * 11 + 4}
    assert {m.function for m in found} == {"f"}


def test_nearly_all_mutants_are_killed():
    assert pytest.importorskip("tests.mutation.__main__").main([]) >= 0.95
