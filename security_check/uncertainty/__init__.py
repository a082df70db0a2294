"""What is not known exactly: sets of deviations, and what deviates in one interval."""
