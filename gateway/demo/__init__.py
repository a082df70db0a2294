"""A whole market day with everything embedded, and the report on it."""
