"""The house: what is said twice is equal, what is promised exists, the package stays light."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.main import get_command

import tempo_lab
from tempo_lab.apps.cli import app

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LAB = [
    requirement
    for extra in ("lab", "train", "decord", "parquet", "ray", "docs")
    for requirement in EXTRAS[extra]
]
DEV = EXTRAS["dev"][1:]
CARD = (
    "torch transformers jupyterlab ipywidgets matplotlib seaborn decord captum pandas nbval".split()
)


def name_of(requirement):
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


# What is said twice


def test_environment_equals_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    options = [line for line in pip["pip"] if line.startswith("-")]
    requirements = [line for line in pip["pip"] if not line.startswith("-")]
    assert options == ["-c constraints.txt", "-e ."]
    assert requirements == PROJECT["dependencies"] + LAB + DEV
    assert EXTRAS["dev"][0] == "tempo-lab[lab,train,decord,parquet,ray,docs]"
    assert set(CARD) <= {name_of(requirement) for requirement in requirements}


def test_every_dependency_has_a_tested_version():
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    pinned = {name.lower().replace("_", "-") for name in pins}
    elsewhere = {"eva-decord"}  # for a platform that the constraints were not made on
    for requirement in PROJECT["dependencies"] + LAB + DEV + EXTRAS["bench"]:
        assert name_of(requirement) in pinned | elsewhere, requirement
    assert "+" not in "".join(pins.values())  # no build of one platform only


def test_the_version_is_in_one_place():
    assert version("tempo-lab") == tempo_lab.__version__
    assert "version" in PROJECT["dynamic"]
    assert f"## {tempo_lab.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    says = [
        path
        for path in [*(ROOT / "tempo_lab").rglob("*.py"), ROOT / "pyproject.toml"]
        if f'"{tempo_lab.__version__}"' in path.read_text(encoding="utf-8")
    ]
    assert says == [ROOT / "tempo_lab" / "common" / "version.py"]


# What is promised


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_commands_that_pages_name_exist(page):
    text = (ROOT / page).read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", text))
    assert named
    assert named <= targets
    for path in re.findall(r"\]\(([^)#:]+)\)", text):  # links inside the repository
        assert (ROOT / path).exists(), path


def test_command_lines_of_the_readme_are_understood():
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^    (tempo-lab [^#\n]+)", text, re.M)
    assert {"evaluate table", "evaluate lvbench"} <= {" ".join(line.split()[1:3]) for line in lines}
    for line in lines:
        command, (_, *words) = get_command(app), shlex.split(line)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)  # an unknown or missing option is an error


def test_help_names_every_target():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.M)[1].split())
    told = set(re.findall(r"^#   make ([a-z-]+)", makefile, re.M))
    assert phony - told <= {"help", "setup"}


def test_ci_runs_checks_and_tests():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert [line for line in script.read_text().splitlines() if line.startswith("make")] == [
        "make check",
        "make test",
        "make test-portable",
    ]


LIBRARIES = """
import torch
print(torch.backends.cpu.get_cpu_capability())
torch.nn.functional.gelu(torch.ones(64, 64) @ torch.ones(64, 64))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the switches are for x86-64")
def test_the_second_run_has_other_instructions():
    """Torch, oneDNN and MKL say that they heed the switches of `make test-portable`."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    switches = re.search(r"^ISA_default := (.+)$", makefile, re.M)[1].split()
    done = subprocess.run(
        ["env", *switches, "ONEDNN_VERBOSE=1", "MKL_VERBOSE=1", sys.executable, "-c", LIBRARIES],
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines().count("DEFAULT") == 1
    assert "isa:Intel SSE4.1" in done.stdout
    assert "CNR:COMPATIBLE" in done.stdout


def test_make_says_what_to_install_where_python_is_too_old(tmp_path):
    done = subprocess.run(
        ["make", "-f", ROOT / "Makefile", "PYTHON=", "setup"],
        cwd=_inputs(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13" in done.stdout


def _inputs(folder):
    """A folder with what `make setup` looks at."""
    (folder / "tempo_lab" / "common").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "tempo_lab/common/version.py"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


# The rooms

ROOMS = {path.name for path in (ROOT / "tempo_lab").iterdir() if (path / "__init__.py").is_file()}


def test_the_root_of_the_package_holds_rooms_alone():
    held = {path.name for path in (ROOT / "tempo_lab").iterdir()} - {"__pycache__"}
    assert held - ROOMS == {"__init__.py", "py.typed"}
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert {room for room in ROOMS if f"`{room}`" not in text} == set()


@pytest.mark.parametrize(
    ("file", "planted", "said"),
    [
        (
            "video/resize.py",
            "from tempo_lab.session import tempo",
            "tempo_lab.video is not allowed",
        ),
        (
            "trace/tables.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tempo_lab import plots",
            "tempo_lab.trace is not allowed",
        ),
        ("plots/style.py", "def late():\n    import torch", "tempo_lab.plots is not allowed"),
        ("video/sampling.py", "import tempo_lab.video.video", "No cycles are allowed in"),
    ],
    ids=["upward", "upward, for types alone", "torch, inside a function", "a circle in a room"],
)
def test_a_planted_import_breaks_a_contract(tmp_path, file, planted, said):
    shutil.copytree(
        ROOT / "tempo_lab",
        tmp_path / "tempo_lab",
        ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"),
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "tempo_lab" / file).open("a") as module:
        module.write(f"\n{planted}\n")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert said in done.stdout


# Light


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import tempo_lab\n"
        "loaded = set(sys.modules) - before\n"
        "heavy = {'torch', 'transformers', 'numpy', 'xarray', 'matplotlib', 'pandas'} & loaded\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_pictures_and_arrays_are_opened_without_a_video_library(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 9, 3), np.uint8))
    program = (
        "import sys\n"
        "from tempo_lab.video.decoders.registry import find_decoder, open_source\n"
        "reader = open_source(sys.argv[1], 'auto', lambda: None)\n"
        "assert reader.info.frames == 3\n"
        "assert 'av' not in sys.modules\n"
        "find_decoder('auto')\n"
        "assert 'av' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "a.npy"], check=True)


def test_public_names_are_few_and_exist():
    assert len(tempo_lab.__all__) <= 26
    program = "import tempo_lab\nfor name in tempo_lab.__all__: getattr(tempo_lab, name)\n"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert set(tempo_lab.__all__) <= set(dir(tempo_lab))


# Silent

ANSWER = """
import tempo_lab as tl
with tl.load("nano", device="cpu").open({clip!r}, progress=False) as session:
    print(session.ask("What color is the star?", budget=64).answer)
"""


def test_an_answer_writes_nothing_to_stderr():
    """Of the installed versions, whatever they deprecate."""
    clip = str(ROOT / "data" / "clips" / "voyage.mp4")
    done = subprocess.run(
        [sys.executable, "-c", ANSWER.format(clip=clip)], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("red\n", "")


# The wheel


def test_the_wheel_carries_the_package_and_its_weights(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tempo_lab").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert source <= inside
    for needed in (
        "apps/cli.py",
        "py.typed",
        "model/nano/config.json",
        "model/nano/model.safetensors",
    ):
        assert f"tempo_lab/{needed}" in inside
    packages = {name.split("/")[0] for name in inside}
    assert packages == {"tempo_lab", f"tempo_lab-{tempo_lab.__version__}.dist-info"}
