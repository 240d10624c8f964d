"""`.ci/set-up`: which build of torch it takes, and that it always goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def set_up() -> ModuleType:
    loader = SourceFileLoader("set_up", str(ROOT / ".ci/set-up"))
    spec = spec_from_loader("set_up", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def pip_that(answers: str, tmp_path: Path) -> list[str]:
    """A pip that writes its arguments to a file, and then does as `answers` says."""
    script = tmp_path / "pip.py"
    script.write_text(f"import sys; open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:])); {answers}")
    return [sys.executable, str(script)]


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_cpu_build_is_the_pinned_one(
    set_up: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up.choose_torch(pip_that("pass", tmp_path), ["cpu"])
    pins = (ROOT / "constraints.txt").read_text().split()
    torch, vision = (next(pin for pin in pins if pin.startswith(f"{name}==")) for name in ("torch", "torchvision"))
    assert f"{torch}+cpu {vision}+cpu" in (tmp_path / "asked").read_text()
    assert "CPU build is installed" in capsys.readouterr().err


def test_without_a_cpu_build_it_says_what_comes_and_goes_on(
    set_up: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no = "sys.exit('ERROR: no version (from versions: 1.0, 2.0+cpu, 2.1) ERROR: nothing for torch==9.0+cpu')"
    set_up.choose_torch(pip_that(no, tmp_path), ["cpu"])
    said = capsys.readouterr().err
    assert "(they have 2.0+cpu)" in said
    assert "4 GB of CUDA" in said


def test_without_a_gpu_it_says_that_cuda_comes(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    set_up.choose_torch(["no-pip"], [])
    assert "TORCH=cpu" in capsys.readouterr().err


def test_progress_leaves_out_single_packages_and_keeps_the_exit_code(
    set_up: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "Resolved 3 packages\\n + torch==2.0\\nInstalled 3 packages\\n"
    command = [sys.executable, "-c", f"import sys; sys.stderr.write('{lines}'); sys.exit(3)"]
    assert set_up.told(command, tmp_path) == 3
    assert capsys.readouterr().err == "set-up: Resolved 3 packages\nset-up: Installed 3 packages\n"


def test_what_is_imported_at_every_start_is_compiled_and_the_rest_is_left(set_up: ModuleType, tmp_path: Path) -> None:
    modules = tmp_path / "tests/venv/lib/python3.11/site-packages"
    files = ("torch/nn.py", "testing.py", "torch/testing/a.py", "pandas/tests/io/b.py", "ray/data/c.py", "broken.py")
    for file in files:
        (modules / file).parent.mkdir(parents=True, exist_ok=True)
        (modules / file).write_text("def" if file == "broken.py" else "")
    (python := tmp_path / "tests/venv/bin/python").parent.mkdir()
    python.symlink_to(sys.executable)
    set_up.compile_bytecode(python)
    assert {file.name.partition(".")[0] for file in modules.rglob("*.pyc")} == {"nn", "testing"}


def test_recipes_may_write_bytecode() -> None:
    """`make` forgets the variable that forbids it, so that processes of our code compile it once."""
    makefile = "include Makefile\nshown:\n\t@echo [$$PYTHONDONTWRITEBYTECODE]\n"
    done = subprocess.run(
        ["make", "-s", "-f", "-", "shown"],
        input=makefile,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
