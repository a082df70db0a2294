"""Money and meters: the ledger, what is booked and when, statements, metered intervals."""
