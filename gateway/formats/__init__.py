"""Files as strict records; the same record reads and writes.

``records``, ``faults``, ``identifiers`` and ``prices`` are shared by all formats.  ``order_terms``
has the rules of orders, in files (``orders_file``) and in messages; ``strict_json`` reads both.
``envelope_file`` (with ``envelope_rows`` and ``envelope_writers``), ``verdict_file`` and
``statements_file`` are formats; ``atomic_files``, ``toml_files`` and ``bundled`` find, read and
write files.  ``optional_packages`` says which package a task needs.
"""
