"""Results for people, as tables in a terminal; ``console`` has what all commands share."""
