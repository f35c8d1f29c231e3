"""One question, one function, one file, one result.

    result = tl.analysis.relevance(trace)
    figure, axes = tl.plots.relevance(result)

Importing this loads no torch: what only tabulates or opens a saved result needs none.
"""

from tempo_lab.analysis.allocation_study import AllocationStudy, allocation_study
from tempo_lab.analysis.cases import Case, case_of, within, world_cases
from tempo_lab.analysis.result import Result
from tempo_lab.analysis.strictness import Strictness, strictness

__all__ = [
    "AllocationStudy",
    "Case",
    "Result",
    "Strictness",
    "allocation_study",
    "case_of",
    "strictness",
    "within",
    "world_cases",
]
