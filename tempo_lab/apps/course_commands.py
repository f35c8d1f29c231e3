"""tempo-lab course: the notebooks as a folder for a class, and points for submitted notebooks.

Slow imports are inside the commands, so that --help is fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tempo_lab.apps import options
from tempo_lab.apps.terminal import console, print_error, require
from tempo_lab.common.errors import TempoLabError

if TYPE_CHECKING:
    from tempo_lab.apps.course_kit.grade import Row

course = typer.Typer(no_args_is_help=True, help="Export the course for a class, and grade it.")


@course.command("export")
def export(
    kind: Annotated[
        Literal["student", "instructor"],
        typer.Argument(help="Audience: student (no solutions) or instructor (solutions)."),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    repository: Annotated[
        str | None,
        typer.Option(
            help="Address of a Git repository with Tempo Lab and the notebooks: adds buttons for "
            "Colab and Binder, and a first cell that installs Tempo Lab from there.",
            show_default="the package's own, if it has one",
        ),
    ] = None,
    notebooks: Annotated[
        str, typer.Option(help="Folder of the notebooks in that repository.")
    ] = "notebooks",
    quiet: options.Quiet = False,
) -> None:
    """Write the notebooks, glossary, syllabus and clips to a folder that opens in JupyterLab."""
    from tempo_lab.apps.course_kit.export import export_kit

    written = export_kit(kind, folder, repository=repository, notebooks=notebooks)
    print(f"{len(written)} notebooks. Open them with: jupyter lab {folder}")


@course.command("grade")
def grade(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Submitted notebooks, or a folder per student."),
    ],
    out: Annotated[Path, typer.Option(help="CSV file for the points.")] = Path("points.csv"),
    notebook: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or number of a notebook to grade; can be repeated.", show_default="all"
        ),
    ] = None,
    cell_seconds: Annotated[
        float, typer.Option(min=1, help="Time limit of one cell of a student.")
    ] = 120,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit of one notebook.")] = 1800,
    memory: Annotated[
        float, typer.Option(min=0.5, help="Memory limit of one notebook, in GiB.")
    ] = 4,
    quiet: options.Quiet = False,
) -> None:
    """Run submitted notebooks with the course's checks, and write a CSV of points.

    Grading runs the students' code on this machine. The code gets a temporary copy of the
    student's folder, an environment without your variables, limits of time and memory, and on
    Linux no network if user namespaces are allowed. It has the rights of your account and can read
    your files. Use a separate account, a container or a virtual machine for students you do not
    know.

    Only exercise cells and added cells are taken from a submission. Other cells and the checks are
    the original ones, so that an edited check or a redefined name earns nothing. A student who
    attacks the grader on purpose can still get points: look at suspicious notebooks yourself.
    """
    require("jupyter_client", extra="lab")
    require("ipykernel", extra="lab")
    from tempo_lab.apps.course_kit.grade import Limits, grade_folder, to_csv
    from tempo_lab.apps.course_kit.sandbox import network_can_be_cut
    from tempo_lab.common.files import write_atomic

    _check_out(out)
    network = "has no network" if network_can_be_cut() else "CAN USE THE NETWORK"
    print_error(f"this runs the students' code with the rights of your account; it {network}")
    limits = Limits(cell_seconds, seconds, int(memory * 2**30))

    def report(rows: Sequence[Row]) -> None:
        write_atomic(out, to_csv(rows).encode())

    rows = grade_folder(folder, notebooks=notebook or (), limits=limits, report=report)
    _show(rows)
    print(f"\n{out}")


def _check_out(out: Path) -> None:
    if out.suffix.lower() != ".csv" or not out.resolve().parent.is_dir() or out.is_dir():
        raise TempoLabError(
            "--out needs the name of a .csv file in a folder that exists",
            asked=out,
            fix="use a name like points.csv",
        )


def _show(rows: Sequence[Row]) -> None:
    from rich.table import Table

    points: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for row in rows:
        points[row.student] += row.points
        most[row.student] += row.of
    table = Table("student", "points", "of")
    for student in most:
        table.add_row(student, str(points[student]), str(most[student]))
    console().print(table)
