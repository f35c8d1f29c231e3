"""Many cases under many arms: the cases, the runner, durable and resumable rows, tables."""

from tempo_lab.evaluation.arm_runner import ArmAnswer, ArmRunner
from tempo_lab.evaluation.cases import Case, check_truth, within
from tempo_lab.evaluation.runner import run
from tempo_lab.evaluation.scoring import same_answer
from tempo_lab.evaluation.store import Key, Row, Store, key_of

__all__ = [
    "ArmAnswer", "ArmRunner", "Case", "Key", "Row", "Store", "check_truth", "key_of", "run",
    "same_answer", "within",
]  # fmt: skip
