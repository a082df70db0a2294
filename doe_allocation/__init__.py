"""Which secure set of envelopes is the fair one."""
