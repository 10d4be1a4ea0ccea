"""A finished run as one HTML file that needs nothing else: `peftrec report`."""

from peftrec.runs.report.page import write_report

__all__ = ["write_report"]
