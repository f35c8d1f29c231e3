"""`report.html` of an evaluation of a dataset. No model is needed to write it."""
