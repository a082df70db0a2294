"""Handle every byte that enters or leaves: MQTT, Redis, files, the command line.

Rooms, from the lowest layer up; a room imports only from rooms above it in this list:

``errors``                            what can go wrong, as one tree
``formats``, ``ports``                files as records; what a transport and a journal must do
``messages``                          topics, requests, reports
``publishing``, ``transport``,
``journal``                           events to messages; MQTT; Redis
``scenario``, ``service``,
``client``                            the scenario file; a running exchange; its clients
``hierarchy``                         the file of several operators
``runs``, ``installation``            what each command computes; the areas of a process
``flexibility``                       what commands about local flexibility compute
``terminal``, ``plots``               results for people
``demo``, ``console``                 a market day with everything embedded; trading in a terminal
``cli``                               the commands
"""

import os

# The network's matrices are small: a second BLAS thread only spins, and on a busy machine it
# makes a product a hundred times slower.  This must be said before NumPy is first imported.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
