"""Snapshots in Redis.

``store`` writes, adopts and reads them, ``parts`` has their form, and ``process_copy`` lets a copy
of the process write them while the exchange goes on.
"""
