"""What platforms add to a day's file.

``places``           zones on the map, and where resources are
``aggregates``       resources that are offered together
``operator_limits``  what traffic light and topological matrix leave to resources
``order_faults``     what is wrong with times of offers, announcements and shares
"""
