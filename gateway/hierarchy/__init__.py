"""A file of several operators, the result of their allocation, and their contracts."""
