"""Buttons that open a notebook on Colab and Binder, and the cell that installs the package there.

They need the address of a Git repository. Tempo Lab's own is in its metadata (`Repository`, in
`[project.urls]` of pyproject.toml) once it has one; another one can be given. For the notebooks of
the repository itself, which need not run again:

    python -m tempo_lab.apps.course_kit.launch ADDRESS notebooks/*.ipynb
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError

INSTALL = "install"
"""Tag and id of the cell that installs, and prefix of the id of the buttons."""
_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?/[A-Za-z0-9._~/-]+")
_GITHUB = re.compile(r"https://github\.com/([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)")


def own_repository() -> str | None:
    """Return the address of Tempo Lab's repository, or None if its metadata has none."""
    try:
        addresses = metadata("tempo-lab").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    named = dict(line.split(", ", 1) for line in addresses)
    return named.get("Repository")


def launch_cells(repository: str, path: str) -> list[dict[str, Any]]:
    """Return two cells for the start of a notebook: the buttons, and the cell that installs.

    The second one does nothing where tempo_lab can be imported.

    Args:
        repository: https address of the Git repository that holds Tempo Lab and the notebook.
        path: path of the notebook in this repository.

    Raises:
        TempoLabError: the address is not an https address.
    """
    address = check_repository(repository)
    install = (
        "from importlib.util import find_spec\n"
        "\n"
        'if find_spec("tempo_lab") is None:  # on Colab, for example; elsewhere this does nothing\n'
        f'    %pip install --quiet "tempo-lab[lab] @ git+{address}"'
    )
    return [
        {
            "cell_type": "markdown",
            "id": f"{INSTALL}-buttons",
            "metadata": {},
            "source": buttons(address, path),
        },
        {
            "cell_type": "code",
            "id": INSTALL,
            "metadata": {"tags": [INSTALL]},
            "execution_count": None,
            "outputs": [],
            "source": install,
        },
    ]


def add_launch_cells(notebook: dict[str, Any], repository: str, path: str) -> None:
    """Put the two cells at the start of a notebook, in place of those that it may have.

    The cell that installs is silent where the package is, so a stored notebook needs no new run:
    it counts as the first cell that ran, and the others move up by one.

    Args:
        notebook: a notebook of format 4, as parsed from JSON; it is changed.
        repository, path: see `launch_cells`.

    Raises:
        TempoLabError: the address is not an https address.
    """
    others = [each for each in notebook["cells"] if not each.get("id", "").startswith(INSTALL)]
    ran = any(each.get("execution_count") for each in others)
    notebook["cells"] = [*launch_cells(repository, path), *others]
    code = [each for each in notebook["cells"] if each["cell_type"] == "code"]
    for count, cell in enumerate(code, start=1):
        cell["execution_count"] = count if ran else None
        for output in cell["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = cell["execution_count"]


def buttons(repository: str, path: str) -> str:
    """Return Markdown with a button for Colab (GitHub only) and one for Binder."""
    shown = []
    if github := _GITHUB.fullmatch(repository):
        owner, name = github.groups()
        colab = f"https://colab.research.google.com/github/{owner}/{name}/blob/HEAD/{path}"
        badge = "https://colab.research.google.com/assets/colab-badge.svg"
        shown.append(f"[![Open in Colab]({badge})]({colab})")
        place = f"gh/{owner}/{name}"
    else:
        place = "git/" + repository.replace(":", "%3A").replace("/", "%2F")
    binder = f"https://mybinder.org/v2/{place}/HEAD?labpath={path.replace('/', '%2F')}"
    shown.append(f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})")
    return " ".join(shown)


def check_repository(repository: str) -> str:
    """Return the address of a repository without a final slash or ".git".

    Raises:
        TempoLabError: it is not an https address of plain characters.
    """
    address = repository.rstrip("/").removesuffix(".git")
    if not _ADDRESS.fullmatch(address):
        raise TempoLabError(
            "this is not the address of a Git repository",
            asked=repository,
            fix="use an address like https://github.com/OWNER/NAME",
        )
    return address


def main(repository: str, paths: list[Path]) -> None:
    """Write the two cells into notebooks of the repository."""
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        add_launch_cells(notebook, repository, f"{path.resolve().parent.name}/{path.name}")
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1], [Path(each) for each in sys.argv[2:]])
