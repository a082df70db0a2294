"""Participants that quote by a strategy, and rounds in which they act: for benchmarks and tests."""
