"""Running the tests on a mutant, in a copy of the repository."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.mutation.mutants import Mutant

FIRST = {  # what fails first when the place is broken
    "minimtl/kernels": ["tests/test_kernels.py", "tests/test_operations.py"],
    "minimtl/ops": [
        "tests/test_create.py",
        "tests/test_operations_rules.py",
        "tests/test_operations_refusals.py",
        "tests/test_operations.py",
    ],
    "minimtl": ["tests/test_autograd.py", "tests/test_differentiable.py", "tests/test_inplace.py", "tests/test_memory.py"],
}
LIMITED = ["sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh"]  # kB: a mutant may ask for any amount of memory
PAGE = "tests/test_equations_coverage.py::test_the_page_is_the_map"  # shows the code, and so notices any change of it
OPTIONS = ["-n0", "-p", "no:cacheprovider", "-p", "tests.mutation", f"--deselect={PAGE}"]
NOTHING_SELECTED = 5  # pytest's exit status


def copy_repository(root: Path, target: Path) -> None:
    """What git tracks or would add."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def pytest(folder: Path, arguments: list[str], timeout: float | None = None, **environment: str) -> int | None:
    """The exit status of the tests in the folder, None where time ran out."""
    fixed = {"PYTHONPATH": str(folder), "HYPOTHESIS_PROFILE": "ci", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*LIMITED, sys.executable, "-m", "pytest", "-xq", *OPTIONS, *arguments],
        cwd=folder,
        env={**os.environ, **fixed, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what the tests started


def stages(mutant: Mutant) -> Iterator[list[str]]:
    """The default tests in three parts, those most likely to fail first."""
    folder, name = os.path.split(mutant.path)
    words = (name.removesuffix(".py").strip("_"), mutant.function.strip("_").partition("_")[0])  # gelu_exact: [gelu]
    first, named = FIRST[folder], " or ".join(filter(None, words))
    yield [*first, "-k", named]
    yield [*first, "-k", f"not ({named})"]
    yield [f"--ignore={file}" for file in first]


def outcome(mutant: Mutant, folder: Path, timeout: float) -> str:
    """Killed by a failing test, timed out, survived; incompetent where it is no Python."""
    file = folder / mutant.path
    source = file.read_text(encoding="utf-8")
    code = mutant.code(source)
    try:
        compile(code, mutant.path, "exec")
    except SyntaxError:
        return "incompetent"
    file.write_text(code, encoding="utf-8")
    try:
        for arguments in stages(mutant):
            # bytecode is told apart by second and size, which two mutants may share: it is not written
            status = pytest(folder, arguments, timeout, PYTHONDONTWRITEBYTECODE="1")
            if status is None:
                return "timed out"
            if status not in (0, NOTHING_SELECTED):
                return "killed"
        return "survived"
    finally:
        file.write_text(source, encoding="utf-8")
