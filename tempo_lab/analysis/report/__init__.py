"""`tempo-lab report`, or `python -m tempo_lab.analysis.report`: every analysis on one page.

Stands above the analyses and the plots that it puts together.
"""

from tempo_lab.analysis.report.write import Report, write_report

__all__ = ["Report", "write_report"]
