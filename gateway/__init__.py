"""Every byte that enters or leaves: MQTT, Redis, files, the command line."""

import os

# The network's matrices are small: a second BLAS thread only spins, and on a busy machine it
# makes a product a hundred times slower.  This must be said before NumPy is first imported.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
