"""Orders, price levels and time priority; knows nothing of networks, money accounts or I/O."""
