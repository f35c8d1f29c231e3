"""What all rooms share: errors, text, files, statistics, progress, checks of numbers. No torch."""
