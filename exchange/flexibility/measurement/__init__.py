"""What became of what a day sold: orders, delivery, what is paid for it, and a report.

``metering``    what a file knows of meters, and how a product's delivery is measured and paid
``orders``      from sold watts to orders with notice, ramp and duration, or why not
``measuring``   metered power of each order against its baseline
``paying``      the entries of what was ordered and delivered, divided among its buyers
``settling``    the settlement of a day: measured by the rules of delivery, the rest as sold
``telling``     what parties tell each other about orders, meters and reports
``monitoring``  what was sold and delivered in each zone, and what it did to branches
"""
