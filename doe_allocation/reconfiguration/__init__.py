"""The switches and taps under which the smallest envelope is largest.

``pandapower_switching``   reads switches and taps; ``pandapower_switch_faults`` their faults
``radial_configurations``  enumerates radial configurations
``choices``                the configurations that may be chosen, with taps
``search``                 chooses among them by allocations
``refutation``             excludes configurations by proof, with ``distflow_bounds``
``relaxation``             bounds all of them by one mixed-integer program
``switched_branches``      the branches of all configurations, pi circuits of ``pi_branches``
"""
