"""Many cases under many arms: the cases, the runner, durable and resumable rows, tables."""
