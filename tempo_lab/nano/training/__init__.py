"""Training of the embedded model: one command runs all stages of a recipe, and can be resumed."""
