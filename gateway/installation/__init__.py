"""The areas of a process, and the processes that share them: the command ``serve``.

``serving`` runs all areas of a process on one loop.  ``area_runner`` runs one: it serves the area,
or follows the journal of the process that does, and ``failures`` says which errors end the
process.  ``intervals`` opens the intervals of an area when they are due.  ``sharing`` looks at the
other processes, and ``shares`` is the rule by which each decides what to take and what to give.
"""
