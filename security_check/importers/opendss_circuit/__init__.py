"""What an OpenDSS circuit consists of, read while it is open; every fault names its element.

``settings``  what a file's last settings leave, and those with which a circuit is read
``elements``  a role for every enabled element; loads
``source``    voltage sources as one interface
``controls``  where taps and capacitors stand
``ratings``   which currents are monitored, and their ratings
``supply``    which nodes have a closed path to a source

``opendss`` of the room above builds the network.
"""
