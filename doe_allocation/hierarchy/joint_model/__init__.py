"""All operators' networks as one AC model, and the attack on their agreed envelopes."""
