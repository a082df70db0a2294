"""One thread for linear algebra, set before anybody imports numpy.

The matrices of an area are small: threads of the BLAS would mostly wait for each other, and for
the cores that the broker, the journal and the adversary need.  On two busy cores the allocation
of one interval takes 60 ms with them and 20 ms without.  Who knows better sets the variable.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
