"""The commands: arguments and options, and which run and which table belong to them."""
