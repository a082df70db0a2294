"""Orders, meters and deliveries of a flexibility day.

``schema``       keys of the file about meters and delivery
``case``         from a file to its meters and terms of delivery, or their faults
``meter_table``  metered power from a table over time
``faults``       what is wrong between phases, offers and meters
``result``       the part of the result about orders, deliveries and reports
``running``      orders, deliveries and reports as records of it
"""
