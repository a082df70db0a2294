"""Networks with further properties; each function takes a network and returns another.

``inverters``            inverters that respond to their voltage (volt-var, volt-watt)
``impedance_tolerance``  series impedances that are uncertain within a tolerance
``reactive_freedom``     reactive power that connection points choose freely
"""
