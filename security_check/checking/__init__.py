"""The security check of trades: headroom, largest secure quantity, verdict, commit.

Begin with ``check``; ``verdict`` holds the words of its answers.
"""
