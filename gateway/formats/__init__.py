"""The files that go in and out, as strict records; the same record reads and writes.

``records`` and ``faults`` are shared by all.  ``orders_file``, ``envelope_file`` (with
``envelope_rows`` and ``envelope_writers``), ``verdict_file`` and ``statements_file`` are formats;
``atomic_files``, ``toml_files``, ``parquet`` and ``bundled`` find, read and write files.
"""
