"""Reports: pages that measure something on held-out videos and say what it means."""
