"""Combinations of units, targets, methods and baselines."""

import pytest

from tempo_lab.analysis.attribution.combinations import UNITS, baselines_of
from tempo_lab.analysis.attribution.methods import METHODS
from tempo_lab.analysis.attribution.targets import TARGETS
from tempo_lab.common.errors import TraceError
from tests.analysis.attribution.explained import explain


def test_what_does_not_go_together_is_refused_with_what_does(session, trace):
    for name, unit_type in UNITS.items():
        for target in TARGETS.values():
            for method in METHODS:
                if target.reads in unit_type.reads and baselines_of(unit_type, method):
                    continue
                with pytest.raises(TraceError, match="this combination is impossible") as error:
                    explain(session, trace, units=name, target=target.name, method=method)
                assert "words; yes_no_logit, answer_logprob, answer_margin; feature_ablation" in (
                    str(error.value)
                )
    with pytest.raises(TraceError, match="baseline='absent' with units='segments'"):
        explain(session, trace, method="integrated_gradients", baseline="absent")
