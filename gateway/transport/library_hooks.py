"""Whether a library still calls the methods that a class of ours replaces in it.

Our embedded broker replaces private methods of amqtt.  If another version of amqtt had no such
method, or called another one, ours would never run, and no error would say so: the broker would
serve every client everything.  So it looks before it starts.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from types import CodeType
from typing import Any

from gateway.errors import UnfitLibraryError


def check_hooks(ours: type, names: Iterable[str], package: str) -> None:
    """Look whether a library calls each method that a class of ours replaces, and how.

    Parameters
    ----------
    ours
        A class whose first base is the library's.
    names
        The methods of ours that the library calls.
    package
        The library's distribution, for the error's text.

    Raises
    ------
    UnfitLibraryError
        Where the library has no such method, does not call it, or gives it other arguments.
    """
    library = ours.__bases__[0]
    called = set(_names_used(library))
    for name in names:
        method, theirs = getattr(ours, name), getattr(library, name, None)
        if not inspect.isfunction(theirs):
            raise _unfit(package, f"its {library.__name__} has no method {name}")
        if name.startswith("_") and not name.endswith("__") and name not in called:
            raise _unfit(package, f"its {library.__name__} never calls {name}")
        if not _takes(method, theirs):
            found = inspect.signature(theirs)
            raise _unfit(package, f"its {library.__name__} calls {name} with {found}")


def check_attributes(thing: object, names: Iterable[str], package: str) -> None:
    """Look whether an object of a library has the private names that we use.

    Raises
    ------
    UnfitLibraryError
        Where it lacks one.
    """
    for name in names:
        if not hasattr(thing, name):
            raise _unfit(package, f"its {type(thing).__bases__[0].__name__} has no {name}")


def _takes(ours: Callable[..., Any], theirs: Callable[..., Any]) -> bool:
    """Return whether ours takes the arguments of theirs, by place and by name.

    A name that starts with an underscore is not used as one.
    """
    mine = list(inspect.signature(ours).parameters)
    other = list(inspect.signature(theirs).parameters)
    return (
        inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
        and len(mine) == len(other)
        and all(a == b or b.startswith("_") for a, b in zip(mine, other, strict=True))
    )


def _names_used(library: type) -> Iterator[str]:
    """Yield the names that the code of a class's methods uses."""
    for each in vars(library).values():
        if inspect.isfunction(each):
            yield from _names_in(each.__code__)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _unfit(package: str, why: str) -> UnfitLibraryError:
    """Return the error that names the package, its version, and what to install."""
    try:
        needed = requires("doe-exchange") or []
    except PackageNotFoundError:  # run from a folder of sources
        needed = []
    asked = (each for each in needed if re.match(rf"{package}(?![\w.-])", each))
    return UnfitLibraryError(
        f"{package} {version(package)} does not fit: {why}, which access control needs;"
        f" install {next(asked, package)}"
    )
