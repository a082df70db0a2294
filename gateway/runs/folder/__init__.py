"""The run of a folder: allocate many networks, each as a job of its own.

``jobs`` lists the jobs and does one of them, ``job_log`` records the outcomes in the folder of
results, ``runners`` runs jobs in processes or on a Dask cluster, ``allocation`` is the whole run.
"""
