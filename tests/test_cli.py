"""The command line."""

import re
import subprocess
import sys

import pytest

from minimtl import equations
from minimtl.cli import main
from minimtl.equations.checking import Evaluated, checks
from tests.bench.peers import ROOT


def test_the_list_has_every_equation_and_readable_formulas(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["equations"]) == 0
    said = capsys.readouterr().out
    for e in equations.all():
        assert re.search(rf"^  {re.escape(e.id)} .*{e.status}$", said, re.M), e.id
    assert "\\frac" not in said
    assert "yᵢ = e^{xᵢ} / (Σⱼ e^{xⱼ})" in said
    assert all(len(line) <= 124 for line in said.splitlines())
    count = len(equations.all())
    assert f"{count} equations: {count - 3} evaluated from their LaTeX, 3 checked by a property;" in said
    wrong = sum(len(check.controls()) for check in checks.values())
    assert f"{wrong} wrong ones must be noticed" in said


def test_any_case_and_the_derivatives_of_a_function(capsys):
    assert main(["equations", "NN.SOFTMAX"]) == 0
    assert "derivatives: nn.softmax.vjp" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m minimtl equations | head -2"
    run = subprocess.run(
        ["sh", "-c", command], capture_output=True, env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}, check=True
    )
    assert run.stderr == b""
    assert "own equations" in run.stdout.decode()


def test_from_the_list_to_the_weight_gradient_in_two_commands(capsys):
    main(["equations"])
    id = next(line.split()[0] for line in capsys.readouterr().out.splitlines() if "∂L/∂w[f,c,i,j]" in line)
    assert main(["equations", id, "--seed", "7"]) == 0
    said = capsys.readouterr().out
    for part in ("minimtl/kernels/conv.py:", "def weigh(", "@ cols.swapaxes", "def dL_dw(f, c, i, j):", "agree", "seed 7"):
        assert part in said
    noticed, of = map(int, re.search(r"noticed: (\d+) of (\d+)", said).groups())
    assert noticed == of >= 5


def test_every_equation_can_be_shown(capsys):
    for e in equations.all():
        assert main(["equations", e.id, "--draws", "1", "--seed", "0"]) == 0, e.id
        assert e.latex in capsys.readouterr().out


def test_a_check_that_fails_says_so_and_exits_with_1(capsys, monkeypatch):
    check = checks["nn.tanh"]
    monkeypatch.setattr(check, "written", lambda d: ({"x": d.array(3)}, d.array(3)))
    assert main(["equations", "nn.tanh", "--seed", "0"]) == 1
    assert "DISAGREE" in capsys.readouterr().out


def test_the_start_of_ids_lists_them_and_what_is_unknown_is_answered(capsys):
    assert main(["equations", "nn.conv2d"]) == 0
    assert main(["equations", "conv2d.vjp"]) == 0
    assert "nn.conv2d.vjp.w" in capsys.readouterr().out
    assert main(["equations", "mtl.weigted_loss"]) == 2
    assert "did you mean mtl.weighted_loss" in capsys.readouterr().out
    assert main(["equations", "@@@@"]) == 2
    assert "there is no" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["equations", "--draws", "0"], ["equations", "--seed", "-1"], [], ["equation"]])
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_another_seed_each_time(capsys):
    seeds = set()
    for _ in range(3):
        main(["equations", "nn.relu", "--draws", "1"])
        seeds |= set(re.findall(r"seed (\d+)", capsys.readouterr().out))
    assert len(seeds) > 1


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "ascii"])
def test_as_a_program_on_any_console(encoding):
    environment = {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    for arguments in ([], ["mtl.weighted_loss"]):
        command = [sys.executable, "-m", "minimtl", "equations", *arguments]
        said = subprocess.run(command, capture_output=True, env=environment, check=True).stdout.decode(encoding)
        assert "evaluated" in said or "agree" in said
        assert "?" not in said


def test_the_literal_reading_is_a_program():
    for check in checks.values():
        if isinstance(check, Evaluated):
            compile(check.formula().program, check.id, "exec")
