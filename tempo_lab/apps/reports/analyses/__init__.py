"""`tempo-lab report`, or `python -m tempo_lab.apps.reports.analyses`: every analysis on one page.

Stands above the analyses and the plots that it puts together.
"""

from tempo_lab.apps.reports.analyses.write import Report, write_report

__all__ = ["Report", "write_report"]
