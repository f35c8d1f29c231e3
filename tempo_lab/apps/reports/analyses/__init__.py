"""`tempo-lab report`: every analysis on the same held-out videos, written onto one page."""

from tempo_lab.apps.reports.analyses.write import Report, write_report

__all__ = ["Report", "write_report"]
