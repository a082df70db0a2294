"""Results as pictures; needs matplotlib, which is an extra."""
