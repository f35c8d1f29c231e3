"""`samples.parquet`: a row for each question and arm, with all that is needed to score it again.

It holds what `answers.jsonl` holds, in typed columns, for pandas and other tools. It needs pyarrow,
the extra `parquet`; without it, it is not written.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.files import write_atomic
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.store import Row

SAMPLES = "samples.parquet"
TEXTS = (
    "item", "video", "model", "role", "arm", "family", "digest", "question", "prompt", "answer",
    "said", "failed",
)  # fmt: skip
WHOLE = (
    "budget", "options", "answer_index", "used", "segments", "frames", "text_tokens",
    "context_left",
)  # fmt: skip
NUMBERS = ("seconds", "memory_mib")
"""Columns of one number. `truth` of a row is in `answer_index` if the question has options, which
are in `choices`, and else in `answer`."""
CURVES = ("start", "end", "logit")
"""Columns of a list of numbers: start and end in seconds, and Yes minus No [segment]."""
OTHERS = "others"
"""Column of what has no column of its own, as JSON."""


def write_samples(folder: Path, rows: Sequence[Row]) -> None:
    """Write the samples of a run. Without pyarrow, warn and write nothing.

    Args:
        folder: of the run.
        rows: in the order in which they were asked.

    Raises:
        OSError: the file cannot be written; its old content has not changed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        warnings.warn(
            f"{SAMPLES} was not written, because pyarrow is not installed. All answers are in "
            "answers.jsonl. `pip install pyarrow`, then `tempo-lab evaluate rescore` writes it.",
            TempoLabWarning,
            stacklevel=2,
        )
        return
    spans = pa.list_(pa.list_(pa.float64()))
    types = {
        **dict.fromkeys(TEXTS, pa.string()),
        **dict.fromkeys(WHOLE, pa.int64()),
        **dict.fromkeys(NUMBERS, pa.float64()),
        "choices": pa.list_(pa.string()),
        "categories": pa.map_(pa.string(), pa.list_(pa.string())),
        "evidence": spans,
        **dict.fromkeys(CURVES, pa.list_(pa.float64())),
        "saliency": pa.struct([("clip", pa.float64()), ("scores", spans)]),
        "warnings": pa.list_(pa.string()),
        OTHERS: pa.string(),
    }
    samples = [_sample(row, types) for row in rows]
    table = pa.Table.from_pylist(samples, schema=pa.schema(list(types.items())))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomic(folder / SAMPLES, sink.getvalue().to_pybytes())


def _sample(row: Row, columns: Sequence[str] | dict[str, Any]) -> dict[str, Any]:
    """Return a row by the names of the columns; text that is not UTF-8 is escaped."""
    sample = {key: value for key, value in row.items() if key in columns}
    others = {key: value for key, value in row.items() if key not in (*columns, "truth")}
    truth = row["truth"]
    sample["answer_index" if isinstance(truth, int) else "answer"] = truth
    if isinstance(truth, int) and row.get("choices"):
        sample["answer"] = row["choices"][truth]
    sample["categories"] = {
        name: [value] if isinstance(value, str) else value
        for name, value in row["categories"].items()
    }
    sample[OTHERS] = json.dumps(others) if others else None
    return _utf8(sample)


def _utf8(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_utf8(key): _utf8(one) for key, one in value.items()}
    return [_utf8(one) for one in value] if isinstance(value, (list, tuple)) else value


def read_samples(folder: Path) -> list[Row]:
    """Return the rows of a run from its samples.

    Raises:
        TempoLabError: there are none, they cannot be read, or pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise TempoLabError(
            "reading the samples of an evaluation needs pyarrow", asked=folder / SAMPLES,
            found="pyarrow is not installed", fix="pip install pyarrow",
        ) from None  # fmt: skip
    try:
        samples = pq.read_table(folder / SAMPLES).to_pylist()
        return [_row(sample) for sample in samples]
    except Exception as error:  # pyarrow's errors have several bases
        raise TempoLabError(
            "the samples of the evaluation cannot be read",
            asked=folder / SAMPLES,
            found=one_line(str(error), 200),
            fix="run the command of the evaluation again: it asks what is missing",
        ) from error


def _row(sample: dict[str, Any]) -> Row:
    """Invert `_sample`. A column without a value is left out if rows can lack it."""
    index, answer = sample.pop("answer_index"), sample.pop("answer")
    others = json.loads(sample.pop(OTHERS) or "{}")
    always = ("budget", "evidence", "saliency")
    row = {key: value for key, value in sample.items() if value is not None or key in always}
    categories = dict(sample["categories"])
    return {**row, **others, "truth": answer if index is None else index, "categories": categories}
