"""Prepare executed notebooks for storage: python tests/notebook_store.py notebooks/*.ipynb

Without a kernel, a forge shows "Error displaying widget" instead of a live widget. So only a
widget's picture is stored, if it has one; the widget returns when its cell runs. Pictures get their
alternative text, where nbconvert (in the output) and MyST-NB (in the cell) look for it. A thumbnail
of each notebook's signature figure is written to data/figures/notebooks, for the README's table.
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

from tempo_lab.course.pictures import CLASS

PICTURES = Path(__file__).parent.parent / "data" / "figures" / "notebooks"
VIEW = "application/vnd.jupyter.widget-view+json"
WIDTH = 400
"""Width of a thumbnail in pixels; the README shows it narrower."""
SOURCE = "source"
"""Key of the PNG text with the digest of the figure that a thumbnail was made from."""


def without_widgets(notebook: nbformat.NotebookNode) -> None:
    """Remove live widgets that have a picture."""
    notebook.metadata.pop("widgets", None)  # their state, of no use without a kernel
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data.pop(VIEW, None)
                output.get("metadata", {}).pop(VIEW, None)


def join_prints(notebook: nbformat.NotebookNode) -> None:
    """Join what a cell printed in a row to one output; a kernel splits it by time."""
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


def add_alternative_texts(notebook: nbformat.NotebookNode) -> None:
    """Give pictures the text that `course.drawn` returned in the same cell."""
    for cell in notebook.cells:
        outputs = [o for o in cell.get("outputs", []) if "data" in o]
        texts = [o.data["text/plain"] for o in outputs if CLASS in o.data.get("text/html", "")]
        if not texts:
            continue
        for output in outputs:
            if "image/png" in output.data:
                output.metadata.setdefault("image/png", {})["alt"] = texts[0]
        cell.metadata["mystnb"] = {"image": {"alt": texts[0]}}


def signature(notebook: nbformat.NotebookNode) -> bytes:
    """Return the PNG of the notebook's figure with the tag "signature"."""
    (cell,) = (cell for cell in notebook.cells if "signature" in cell.metadata.get("tags", []))
    pngs = (output.get("data", {}).get("image/png") for output in cell.outputs)
    (png,) = filter(None, pngs)
    return b64decode(png)


def digest(png: bytes) -> str:
    """Return a short digest of a figure."""
    return sha256(png).hexdigest()[:16]


def small(png: bytes) -> bytes:
    """Return a thumbnail of a figure, as PNG with the figure's digest."""
    figure = Image.open(BytesIO(png)).convert("RGB")
    size = WIDTH, round(figure.height * WIDTH / figure.width)
    thumbnail = figure.resize(size, Image.Resampling.LANCZOS).quantize(
        method=Image.Quantize.FASTOCTREE,  # rare colors stay: a red star in 96 pictures
        dither=Image.Dither.NONE,
    )
    info, file = PngInfo(), BytesIO()
    info.add_text(SOURCE, digest(png))
    thumbnail.save(file, format="PNG", optimize=True, pnginfo=info)
    return file.getvalue()


def picture(path: Path) -> Path:
    """Return the path of a notebook's thumbnail."""
    return PICTURES / f"{path.stem[:2]}.png"


def main(paths: list[Path]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        without_widgets(notebook)
        join_prints(notebook)
        add_alternative_texts(notebook)
        nbformat.write(notebook, path)
        picture(path).write_bytes(small(signature(notebook)))


if __name__ == "__main__":
    main([Path(each) for each in sys.argv[1:]])
