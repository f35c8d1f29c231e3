"""The embedded model: its world, its training and its claims."""
