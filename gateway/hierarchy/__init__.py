"""The hierarchy file, the result of its allocation, and the contracts of two operators.

``schema`` and ``loading`` read the file, ``boundary_faults`` finds boundaries that do not fit,
``result_file`` and ``contract_curve`` hold the results of ``hierarchy`` and ``contract``.
"""
