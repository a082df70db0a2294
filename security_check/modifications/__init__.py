"""Network in, network out: inverters, impedance tolerances, reactive freedom."""
