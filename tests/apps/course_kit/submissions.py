"""Submitted notebooks for tests: the student's kit with answers in it."""

import json

from tempo_lab.apps.course_kit.export import kit_notebook
from tempo_lab.apps.course_kit.lessons import lesson

QUICKSTART = "00_quickstart"
RIGHT = {
    "check_segment_at": "segment = 21 // 4\ncourse.check_segment_at(segment)",
    "check_words": "words = 57\ncourse.check_words(words, trace.totals)",
    "check_smallest_budget": (
        "smallest = len(video)\ncourse.check_smallest_budget(smallest, len(video))"
    ),
    "check_used_after_drop": (
        "predicted = 22\n"
        "drop = tl.Intervention.drop(8)\n"
        'run = video.ask("What color is the star?", budget=64, interventions=drop)\n'
        "course.check_used_after_drop(predicted, run)"
    ),
}
"""Right answers to the exercises of the first notebook."""


def submitted(answers, stem=QUICKSTART):
    """A notebook with these sources in its exercise cells, by the name of the check."""
    notebook = kit_notebook(lesson(stem), solutions=False)
    for cell in notebook["cells"]:
        name = cell["metadata"].get("tempo_lab", {}).get("exercise")
        if name in answers:
            cell["source"] = answers[name]
    return notebook


def code(source, **metadata):
    """A new code cell."""
    return {
        "cell_type": "code", "id": "new", "metadata": metadata, "source": source,
        "outputs": [], "execution_count": None,
    }  # fmt: skip


def hand_in(folder, notebook, stem=QUICKSTART):
    """Write a notebook into a student's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path
