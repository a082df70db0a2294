"""Durable entries: the journal in Redis, in files, and its replay."""
