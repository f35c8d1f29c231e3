"""The record of one question, and its tables; no torch."""
