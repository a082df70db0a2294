"""Files as strict records; the same record reads and writes.

``records``, ``faults``, ``identifiers`` and ``prices`` are shared by all formats.  ``order_terms``
has the rules of orders, in files (``orders_file``) and in messages; ``strict_json`` reads both.
``envelope_file`` (with ``envelope_rows`` and ``envelope_writers``) and ``statements_file`` are
formats; ``input_files`` finds the files that commands read, ``atomic_files`` writes.
``urls`` reads addresses and shows them without passwords, ``private_files`` makes files for one
account.  ``linear`` has the entries of linear networks.
``optional_packages`` says which package a task needs.
"""
