"""Values that change from interval to interval: ``[profiles]`` of a scenario.

``powers`` and ``capacities`` build the entries of these names, from ``time_tables`` (CSV, Parquet)
or ``simbench``; ``power_profile`` is the value that ``powers`` builds.
"""
