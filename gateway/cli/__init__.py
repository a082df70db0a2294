"""The commands: each reads its arguments, calls a run, and prints or draws the result."""
