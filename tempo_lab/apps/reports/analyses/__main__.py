"""`python -m tempo_lab.apps.reports.analyses`: the same as `tempo-lab report`, with its options."""

import sys

from tempo_lab.apps.cli import app

app(["report", *sys.argv[1:]], prog_name="tempo-lab")
