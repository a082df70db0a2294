"""Every byte that enters or leaves: MQTT, Redis, files, the command line.

Read in this order.  ``topics`` and ``messages`` say what a customer may say and where,
``outgoing``, ``envelopes``, ``books`` and ``reports`` what it is told; ``codec`` writes commands
and events for the journal.  ``ports`` names what the service needs from outside: a transport
(``mqtt``, ``mqtt_client``, ``embedded_broker``) and a journal (``journal``, ``embedded_redis``,
``journal_files``).  ``core`` joins exchange and reports, ``service`` is the loop, ``limiter`` its
brake, ``hearing`` its ear, ``client`` the customer's side.  Files: ``scenario`` and its parts,
``files`` and ``orders_file``, ``simulate``; results of many intervals ``result_files``,
``envelope_table``, ``operator_outputs``.  People: ``cli`` and its parts, ``report_*``, ``plots_*``
and the demo (``demo`` and its parts, ``agents``).
"""

import os

# The network's matrices are small: a second BLAS thread only spins, and on a busy machine it
# makes a product a hundred times slower.  This must be said before NumPy is first imported.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
