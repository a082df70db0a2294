"""Results as pictures, drawn with the optional package matplotlib.

``style`` has what all pictures share, ``standing`` how their intervals stand.  Each other
module draws one kind of result: ``envelopes_over_time``, ``network_loading``, ``price_map``,
``contract_curve``, ``procurement``, ``procurement_days``, ``coordination``, ``flexibility_map``,
``flexibility_year``.
"""
