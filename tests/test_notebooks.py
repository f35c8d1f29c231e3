"""Notebooks are stored as they ran; nbval compares their outputs, this counts what it compares."""

import re
import runpy
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from statistics import median

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from tempo_lab import course
from tempo_lab.apps.course_kit import launch
from tempo_lab.course.checking import Check
from tests import notebook_store as store

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SANITIZE = ROOT / "tests" / "notebook_sanitize.cfg"
IGNORED = re.compile(r"nbval.(ignore.output|skip|raises)|raises.exception", re.I)
PAGE = "11_your_own_video"
"""What `tempo-lab app` serves: a page for visitors, not a lesson with exercises."""
LESSONS = [path for path in NOTEBOOKS if path.stem != PAGE]
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def code_cells(path):
    return [cell for cell in cells_of(path) if cell.cell_type == "code"]


def prose(path):
    return "\n".join(cell.source for cell in cells_of(path) if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def tagged(path, tag):
    return [cell for cell in code_cells(path) if tag in tags(cell)]


def texts(cell):
    """What nbval compares of a cell's output: no pixels, and no bare `<Figure ...>`."""
    found = [output.text for output in cell.outputs if output.output_type == "stream"]
    for output in cell.outputs:
        data = output.get("data", {})
        found += [text for kind, text in data.items() if kind in ("text/plain", "text/html")]
    return [text for text in found if text.strip() and not re.fullmatch(r"<[^<>]*>", text.strip())]


def ignored(cell):
    return bool(IGNORED.search(cell.source) or IGNORED.search(" ".join(tags(cell))))


def count(path):
    """How many code cells are compared in text, compared in their silence, or not compared."""
    cells = code_cells(path)
    apart = [cell for cell in cells if ignored(cell) or (cell.outputs and not texts(cell))]
    silent = [cell for cell in cells if not cell.outputs]
    return len(cells), len(cells) - len(apart) - len(silent), len(silent), apart


def test_the_folder_has_only_what_a_reader_opens():
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert {path.suffix for path in files} <= {".ipynb", ".md", ".svg"}
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}
    assert folders - {".ipynb_checkpoints", "__pycache__"} == {"solutions"}


def test_there_is_a_quickstart():
    assert "00_quickstart.ipynb" in [path.name for path in NOTEBOOKS]


@every_notebook
def test_every_cell_ran_once_in_order_without_an_error(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not any(output.output_type == "error" for output in cell.outputs)
        assert not any(output.get("name") == "stderr" for output in cell.outputs)


@every_notebook
def test_nine_cells_in_ten_are_compared(path):
    cells, told, silent, apart = count(path)
    assert told + silent >= 0.9 * cells
    assert told >= 0.75 * cells  # a test that only sees silence sees little
    for cell in apart:
        assert "nbval-ignore-output" in tags(cell), f"no tag: {cell.source}"
        assert len(cell.metadata.get("reason", "").split()) >= 3, f"no reason: {cell.source}"


def test_the_counts_are_printed(capsys):
    with capsys.disabled():
        print("\nnotebook: code cells = compared in text + silent + not compared")
        for path in NOTEBOOKS:
            cells, told, silent, apart = count(path)
            print(f"  {path.stem}: {cells} = {told} + {silent} + {len(apart)}")
            assert cells == told + silent + len(apart)


@every_notebook
def test_it_is_small_and_says_no_place_of_one_machine(path):
    assert path.stat().st_size <= 2**20
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text(encoding="utf-8"))
    assert not re.search(r"/(home|root|Users|tmp|work)/", text)


# What is stored of it


@every_notebook
def test_pictures_stand_for_live_widgets(path):
    assert "widgets" not in nbformat.read(path, as_version=4).metadata
    for cell in code_cells(path):
        for output in cell.outputs:
            assert store.VIEW not in output.get("data", {}), cell.source


def test_only_a_picture_stands_for_a_widget():
    widget, both = {store.VIEW: {"model_id": "1"}}, {store.VIEW: {"model_id": "2"}}
    outputs = [
        new_output("display_data", data={**widget, "text/plain": "bar"}),
        new_output("display_data", data={**both, "text/plain": "dots", "image/png": "AA=="}),
    ]
    notebook = new_notebook(cells=[new_code_cell("dots", outputs=outputs)])
    notebook.metadata["widgets"] = {"state": {}}
    store.without_widgets(notebook)
    alone, shown = (set(output.data) for output in notebook.cells[0].outputs)
    assert alone == {store.VIEW, "text/plain"}  # nothing else shows it: the test above tells
    assert shown == {"image/png", "text/plain"}
    assert "widgets" not in notebook.metadata


@every_notebook
def test_figures_have_an_alternative_text(path):
    for cell in code_cells(path):
        if "course.drawn(" not in cell.source:
            continue
        (text,) = (o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result")
        pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        assert [o.metadata["image/png"]["alt"] for o in pictures] == [text], cell.source
        assert cell.metadata["mystnb"]["image"]["alt"] == text


def test_what_is_printed_in_a_row_is_one_output():
    def printed(text, name="stdout"):
        return new_output("stream", text=text, name=name)

    shown = new_output("display_data", data={"text/plain": "bar"})
    outputs = [printed("a "), printed("b"), shown, printed("c"), printed("d", "stderr")]
    notebook = new_notebook(cells=[new_code_cell("dots", outputs=outputs)])
    store.join_prints(notebook)
    first, second, third, fourth = notebook.cells[0].outputs
    assert (first.text, third.text, fourth.text) == ("a b", "c", "d")
    assert second == shown


@every_notebook
def test_the_readme_has_its_row_and_its_picture(path):
    rows = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = (row for row in rows if row.startswith(f"| [{path.stem}](notebooks/{path.name}) |"))
    place = store.picture(path)
    assert f'<img src="{place.relative_to(ROOT).as_posix()}"' in row
    assert place.stat().st_size <= 60 * 1024
    figure = store.signature(nbformat.read(path, as_version=4))
    with Image.open(place) as small, Image.open(BytesIO(figure)) as large:
        assert small.text[store.SOURCE] == store.digest(figure), "make notebooks"
        assert small.width / small.height == pytest.approx(large.width / large.height, rel=0.01)


@every_lesson
def test_it_reads_well(path):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lengths) <= 12
    assert median(lengths) <= 7
    cells = [cell for cell in cells_of(path) if not cell.id.startswith(launch.INSTALL)]
    assert len(cells) <= 60
    assert path.stem.startswith("00") or len(cells) >= 30
    first, *others = (n for n, cell in enumerate(cells) if cell.cell_type == "code")
    assert "course.start()" in cells[first].source
    for place in others:  # each output is followed by a sentence that reads it
        if cells[place].outputs:
            assert cells[place + 1].cell_type == "markdown", cells[place].source


@every_lesson
def test_it_has_a_claim_a_control_and_one_signature_figure(path):
    assert prose(path).count("**Claim.**") == 1
    assert "**Control:**" in prose(path)
    assert tagged(path, "control")
    (signature,) = tagged(path, "signature")
    assert any("image/png" in output.get("data", {}) for output in signature.outputs)
    for heading in ("## Try it yourself", "## What this does not show"):
        assert prose(path).count(heading) == 1


@every_lesson
def test_its_words_are_in_the_glossary(path):
    glossary = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    anchors = {
        heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", glossary, re.M)
    }
    linked = set(re.findall(r"\]\(glossary\.md#([^)]+)\)", prose(path)))
    assert linked
    assert linked <= anchors


@every_notebook
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(path)):
        assert (FOLDER / target).exists(), target


# Exercises


def checks_in(text):
    return re.findall(r"course\.(check_\w+)\(", text)


def solution_of(path):
    return FOLDER / "solutions" / f"{path.stem}.py"


@every_lesson
def test_exercises_have_a_card_a_check_a_hint_and_a_solution(path):
    cells = cells_of(path)
    places = [n for n, cell in enumerate(cells) if "exercise" in tags(cell)]
    assert 3 <= len(places) <= 6
    solved = solution_of(path).read_text(encoding="utf-8")
    for number, place in enumerate(places, start=1):
        card = rf"### Exercise {number} \((easy|medium|hard), \d+ minutes?\)"
        assert re.search(card, cells[place - 1].source)
        assert "..." in cells[place].source
        (name,) = checks_in(cells[place].source)
        folded = cells[place + 1].source
        assert folded.count("<details><summary>Hint</summary>") == 1
        (code,) = re.findall(
            r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```\n</details>",
            folded.partition("### Exercise")[0],
            re.S,
        )
        assert checks_in(code) == [name]
        assert code in solved  # what is folded away is what runs below


@every_lesson
def test_solutions_run_and_pass_every_check(path, monkeypatch, capsys):
    said = []
    call = Check.__call__

    def listen(self, *arguments):
        said.append(call(self, *arguments))
        return said[-1]

    monkeypatch.setattr(Check, "__call__", listen)
    monkeypatch.chdir(FOLDER)
    runpy.run_path(str(solution_of(path)))
    asked = [name for cell in tagged(path, "exercise") for name in checks_in(cell.source)]
    assert [verdict.check for verdict in said] == asked
    assert all(verdict.right for verdict in said), said


# nbval


@pytest.mark.slow
def test_a_changed_number_is_seen_and_changed_memory_is_not(tmp_path):
    copy = tmp_path / "planted.ipynb"
    shutil.copy(FOLDER / "00_quickstart.ipynb", copy)
    text = copy.read_text(encoding="utf-8")
    text, memory = re.subn(r"\d+\.\d GiB of memory free", "0.1 GiB of memory free", text)
    text, changed = re.subn(r"('used': )\d+", r"\g<1>1234", text)
    assert (memory, changed) == (1, 1)
    copy.write_text(text, encoding="utf-8")
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path,
        "--nbval", "--nbval-current-env", "--nbval-sanitize-with", SANITIZE, copy,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "'used': 1234" in done.stdout
    assert re.search(r"\b1 failed, \d+ passed", done.stdout), done.stdout


def test_every_lesson_belongs_to_a_notebook():
    stems = {path.stem.partition("_")[2] for path in NOTEBOOKS}
    assert set(course.lessons()) <= stems
