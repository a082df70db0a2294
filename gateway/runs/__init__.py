"""The computation of each command; nothing here writes to a terminal."""
