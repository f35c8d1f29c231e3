"""Puts the notebooks into the wheel without their outputs, which are most of their size."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "11_your_own_video.ipynb"
"""Is in the wheel as it is stored: pyproject.toml names it."""


class NotebooksHook(BuildHookInterface):
    """Writes copies of the notebooks before a wheel is built, and removes them afterwards."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # the package is used where it is
            return
        self.copies = tempfile.TemporaryDirectory(prefix="tempo-lab-notebooks-")
        for path in sorted(Path(self.root, "notebooks").glob("*.ipynb")):
            if path.name == PAGE:
                continue
            notebook = json.loads(path.read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell["outputs"], cell["execution_count"] = [], None
            copy = Path(self.copies.name, path.name)
            text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            copy.write_text(text, encoding="utf-8")
            build_data["force_include"][str(copy)] = f"tempo_lab/shipped/notebooks/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self.copies.cleanup()
