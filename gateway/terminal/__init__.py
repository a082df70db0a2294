"""Results for people, as tables in a terminal; ``console`` is how all commands speak."""
