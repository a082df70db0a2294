"""What may be missing in general, and is there in a test."""

from __future__ import annotations

from typing import TypeVar

Thing = TypeVar("Thing")


def there(value: Thing | None) -> Thing:
    """Return a value that the test knows to be there.

    A missing one is no assertion that fails: a test may expect such a failure.
    """
    if value is None:
        raise TypeError("nothing is there")
    return value
