"""Entries that survive a crash: the journal in Redis, in files, and its replay."""
