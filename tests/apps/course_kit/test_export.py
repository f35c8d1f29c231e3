"""The kit: one folder that needs nothing but the installed package."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tempo_lab import TempoLabError
from tempo_lab.apps.course_kit import launch
from tempo_lab.apps.course_kit.export import export_kit
from tempo_lab.apps.course_kit.lessons import PAGE, lesson, notebook_names

ROOT = Path(__file__).parents[3]
ADDRESS = "https://github.com/owner/name"


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kits")
    export_kit("student", folder / "student", repository=ADDRESS, notebooks="class")
    export_kit("instructor", folder / "instructor")
    return folder


def notebooks_of(folder):
    return {path.stem: nbformat.read(path, as_version=4) for path in folder.glob("*.ipynb")}


def test_students_get_hints_and_no_solutions(kits):
    notebooks = notebooks_of(kits / "student")
    assert sorted(notebooks) == notebook_names()
    for name, notebook in notebooks.items():
        prose = "\n".join(cell.source for cell in notebook.cells)
        assert "<summary>Solution" not in prose
        assert prose.count("<summary>Hint") == len(lesson(name).exercises)
    assert not (kits / "student" / "solutions").exists()


def test_instructors_get_solutions(kits):
    for name, notebook in notebooks_of(kits / "instructor").items():
        prose = "\n".join(cell.source for cell in notebook.cells)
        assert prose.count("<summary>Solution") == len(lesson(name).exercises)
        assert (kits / "instructor" / "solutions" / f"{name}.py").is_file() == (name != PAGE)


@pytest.mark.parametrize("kind", ["student", "instructor"])
def test_notebooks_are_valid_without_outputs_and_name_their_exercises(kits, kind):
    for name, notebook in notebooks_of(kits / kind).items():
        nbformat.validate(notebook)
        marks = [
            cell.metadata["tempo_lab"]
            for cell in notebook.cells
            if "exercise" in cell.metadata.get("tags", [])
        ]
        assert [(mark.number, mark.exercise) for mark in marks] == [
            (each.number, each.name) for each in lesson(name).exercises
        ]
        assert all((mark.lesson, mark.points) == (name, 1) for mark in marks)
        assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("kind", ["student", "instructor"])
def test_links_stay_in_the_folder(kits, kind):
    folder = kits / kind
    pages = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    for path in folder.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        pages[path] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for path, text in pages.items():
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (folder / target).is_file(), (path.name, target)


def test_the_clips_and_their_ground_truth_come_along(kits):
    for name in ("voyage.mp4", "voyage.json", "expedition.mp4", "expedition.json"):
        copied = kits / "student" / "data" / "clips" / name
        assert copied.read_bytes() == (ROOT / "data" / "clips" / name).read_bytes()


def test_only_a_new_or_empty_folder_is_written_to(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(TempoLabError, match=r"found: 1 files and folders, such as mine\.txt"):
        export_kit("student", tmp_path)
    with pytest.raises(TempoLabError, match="found: a file"):
        export_kit("student", tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert export_kit("student", tmp_path / "empty")


# Buttons


def test_the_buttons_open_this_notebook(kits):
    buttons, install, *_ = notebooks_of(kits / "student")["02_compression"].cells
    colab = "https://colab.research.google.com/github/owner/name/blob/HEAD/class/02_compression"
    assert f"({colab}.ipynb)" in buttons.source
    binder = "https://mybinder.org/v2/gh/owner/name/HEAD?labpath=class%2F02_compression.ipynb"
    assert f"({binder})" in buttons.source
    assert f'"tempo-lab[lab] @ git+{ADDRESS}"' in install.source


def test_there_are_no_buttons_without_an_address(kits):
    expected = None if launch.own_repository() is None else "install-buttons"
    for notebook in notebooks_of(kits / "instructor").values():
        first = notebook.cells[0].id
        assert (first == "install-buttons") == (expected is not None)


def test_stored_notebooks_get_the_cells_once_and_need_no_new_run(tmp_path):
    path = tmp_path / "notebooks" / "00_quickstart.ipynb"
    path.parent.mkdir()
    path.write_bytes((ROOT / "notebooks" / path.name).read_bytes())
    before = nbformat.read(path, as_version=4).cells
    launch.main("https://github.com/old/name", [path])
    launch.main(ADDRESS, [path])
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    buttons, install, *others = notebook.cells
    assert "/owner/name/blob/HEAD/notebooks/00_quickstart.ipynb" in buttons.source
    assert ADDRESS in install.source
    assert [cell.source for cell in others] == [
        cell.source for cell in before if not cell.id.startswith(launch.INSTALL)
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.get("execution_count", cell.execution_count) == cell.execution_count


@pytest.mark.parametrize("installed", [True, False])
def test_the_first_cell_installs_only_where_the_package_is_missing(monkeypatch, installed):
    _, cell = launch.launch_cells(ADDRESS, "notebooks/00_quickstart.ipynb")
    run = []

    class Shell:
        def run_line_magic(self, name, line):
            run.append((name, line))

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    exec(TransformerManager().transform_cell(cell["source"]), {"get_ipython": Shell})
    command = ("pip", f'install --quiet "tempo-lab[lab] @ git+{ADDRESS}"')
    assert run == ([] if installed else [command])


@pytest.mark.parametrize(
    "address", ["http://github.com/a/b", "github.com/a/b", 'https://x.org/a"; import os', "a b", ""]
)
def test_an_address_is_plain_https(address):
    with pytest.raises(TempoLabError, match="not the address of a Git repository"):
        launch.check_repository(address)


def test_other_hosts_have_a_button_for_binder_only():
    shown = launch.buttons("https://codeberg.org/owner/name", "notebooks/a.ipynb")
    assert "colab" not in shown
    assert "v2/git/https%3A%2F%2Fcodeberg.org%2Fowner%2Fname/HEAD?labpath=notebooks%2Fa" in shown


# Without the repository

EXPORT = """
import sys
from pathlib import Path
import tempo_lab
from tempo_lab import course
from tempo_lab.apps.course_kit.export import export_kit
assert Path(tempo_lab.__file__).is_relative_to(sys.argv[1]), tempo_lab.__file__
export_kit("instructor", Path("kit"))
print(course.clip("voyage"), len(course.truth("voyage")["questions"]))
"""


def test_the_wheel_exports_the_same_kit(wheel, kits, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        shipped = [each for each in archive.infolist() if "/shipped/" in each.filename]
        archive.extractall(tmp_path / "site")
    assert sum(each.compress_size for each in shipped) < 2 << 20
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, str(tmp_path / "site")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    written = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for folder in (tmp_path / "kit",)
        for path in folder.rglob("*")
        if path.is_file()
    }
    expected = kits / "instructor"
    assert set(written) == {
        path.relative_to(expected).as_posix() for path in expected.rglob("*") if path.is_file()
    }
    for name, content in written.items():
        same = (expected / name).read_bytes()
        if name.endswith(".ipynb"):
            assert json.loads(content) == json.loads(same), name
        else:
            assert content == same, name
