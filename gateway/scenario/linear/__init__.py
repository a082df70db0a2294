"""``[network]`` of kind ``linear``: a lossless network, instead of one with AC power flow.

``schema``       its file, key by key
``area``         the network, its connection points, and limits and set points of every interval
``reading``      from the file to the area, or all of its faults
``flexibility``  its market of flexibility: ``[flexibility]``
``sections``     what a scenario with a linear network must not state
"""
