"""The file of a checkpoint that lists how the questions are phrased that the model knows."""

from __future__ import annotations

import json
from pathlib import Path

from tempo_lab.common.errors import CheckpointError
from tempo_lab.common.files import write_atomic
from tempo_lab.common.question_forms import QuestionForms
from tempo_lab.model.hub import read_object

FILE = "question_forms.json"


def read_question_forms(folder: Path) -> QuestionForms | None:
    """Return the question forms of a checkpoint; None if it lists none.

    Raises:
        CheckpointError: the file cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return QuestionForms.from_dict(read_object(path))
    except (OSError, ValueError) as err:
        raise CheckpointError(
            "the question forms cannot be read",
            asked=path,
            found=str(err),
            fix="use the file that belongs to the checkpoint, or delete it",
        ) from None


def write_question_forms(folder: Path, forms: QuestionForms) -> None:
    """Write question forms into the folder of a checkpoint.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps(forms.to_dict(), indent=1, ensure_ascii=False)
    write_atomic(folder / FILE, f"{text}\n".encode())
