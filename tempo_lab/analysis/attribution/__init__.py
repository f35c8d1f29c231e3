"""Attribution: which parts of the input made the model answer as it did."""

from tempo_lab.analysis.attribution.attribution import Attribution, attribution
from tempo_lab.analysis.attribution.targets import TARGETS, Target, register_target

__all__ = ["TARGETS", "Attribution", "Target", "attribution", "register_target"]
