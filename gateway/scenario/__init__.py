"""A scenario file: what it may say, and what is built from it, or all of its faults.

``schema`` is the file section by section, ``loading`` builds :class:`Scenario` from it; the other
modules build one section each.
"""
