"""What is stored of notebooks that ran: python notebooks/store.py notebooks/*.ipynb

Where no kernel runs, a forge shows "Error displaying widget" in a live widget's place. Where its
picture stands beside it, only the picture is stored; the widget is there again when its cell runs.
Each notebook's signature figure goes, small, to data/figures/notebooks, for the README's table.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image
from PIL.PngImagePlugin import PngInfo

PICTURES = Path(__file__).parent.parent / "data" / "figures" / "notebooks"
VIEW = "application/vnd.jupyter.widget-view+json"
WIDTH = 400
"""Pixels of a small picture; the README shows it narrower."""
SOURCE = "source"
"""Where a small picture says which figure it was made from, see `digest`."""


def without_widgets(notebook: nbformat.NotebookNode) -> None:
    """Let pictures stand for live widgets."""
    notebook.metadata.pop("widgets", None)  # their state, of no use without a kernel
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data.pop(VIEW, None)
                output.get("metadata", {}).pop(VIEW, None)


def join_prints(notebook: nbformat.NotebookNode) -> None:
    """One output for what a cell printed in a row; a kernel cuts it by the clock."""
    for cell in notebook.cells:
        outputs: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            last = outputs[-1] if outputs else None
            if last and output.output_type == "stream" and last.get("name") == output.name:
                last.text += output.text
            else:
                outputs.append(output)
        if cell.cell_type == "code":
            cell.outputs = outputs


def signature(notebook: nbformat.NotebookNode) -> bytes:
    """PNG of the one figure that says what the notebook is about."""
    (cell,) = (cell for cell in notebook.cells if "signature" in cell.metadata.get("tags", []))
    (png,) = (found for each in cell.outputs if (found := each.get("data", {}).get("image/png")))
    return b64decode(png)


def digest(png: bytes) -> str:
    """What tells a figure from another."""
    return sha256(png).hexdigest()[:16]


def small(png: bytes) -> bytes:
    """The figure for a table, as PNG that knows its source."""
    figure = Image.open(BytesIO(png)).convert("RGB")
    size = WIDTH, round(figure.height * WIDTH / figure.width)
    table = figure.resize(size, Image.Resampling.LANCZOS).quantize(
        method=Image.Quantize.FASTOCTREE,  # rare colors stay: a red star in 96 pictures
        dither=Image.Dither.NONE,
    )
    told, file = PngInfo(), BytesIO()
    told.add_text(SOURCE, digest(png))
    table.save(file, format="PNG", optimize=True, pnginfo=told)
    return file.getvalue()


def picture(path: Path) -> Path:
    """Where the small picture of a notebook is."""
    return PICTURES / f"{path.stem[:2]}.png"


def main(paths: list[Path]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        without_widgets(notebook)
        join_prints(notebook)
        nbformat.write(notebook, path)
        picture(path).write_bytes(small(signature(notebook)))


if __name__ == "__main__":
    main([Path(each) for each in sys.argv[1:]])
