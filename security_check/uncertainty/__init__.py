"""Deviations from forecasts and rated values.

``deviation_sets`` are convex sets of deviations (box, budget, ellipsoid); ``deviations`` names the
elements that deviate and their effect on port powers; ``forecast`` makes both for one interval.
"""
