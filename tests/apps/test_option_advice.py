"""Advice of the library about Python arguments names the options of the command line."""

import pytest

from tempo_lab.apps.option_advice import as_options

OPTIONS = ["--base", "--device", "--fps", "--max-frames", "--strategy"]


@pytest.mark.parametrize(
    ("python", "options"),
    [
        ("use one of these, or omit device=", "use one of these, or omit --device"),
        ("pass base=<folder of the base>", "pass --base <folder of the base>"),
        ('strategy="head" with a budget', "--strategy head with a budget"),
        ("a lower fps or max_frames", "a lower --fps or --max-frames"),
        ('ask something; mode="faithful" reads it', "ask something"),
        ("a budget of 4, or a smaller max_new_tokens", "a budget of 4"),
        # nothing is left: the advice stays
        ("tempo_lab.load(MODEL, revision=REVISION)", "tempo_lab.load(MODEL, revision=REVISION)"),
        # no arguments
        ("merge it (merge_and_unload), or move it", "merge it (merge_and_unload), or move it"),
        ("use --device cpu, or more memory", "use --device cpu, or more memory"),
        ('did you mean "nano"?', 'did you mean "nano"?'),
    ],
)  # fmt: skip
def test_arguments_become_options(python, options):
    assert as_options(python, OPTIONS) == options
