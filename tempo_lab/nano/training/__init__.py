"""The recipe that made the embedded model: one command, stage after stage, resumable."""
