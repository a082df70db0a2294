"""What each command computes; writes to no terminal."""
