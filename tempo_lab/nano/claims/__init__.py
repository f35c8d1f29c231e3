"""The claims measured on the embedded model: plan, answers, tables and verdicts."""
