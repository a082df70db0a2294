"""Money and meters.

``ledger`` keeps the accounts, ``bookings`` derives their entries from events, ``statements`` makes
statements of account from a journal, ``metering`` keeps the intervals that await readings.
"""
