"""What a line of ``doe-exchange trade`` asks for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation

from doe_allocation.procurement.choices import FlexDirection
from orderbook.order import Side
from security_check.model.envelope import Direction

HELP = """\
book [DIRECTION] [INTERVAL]                    depth of a book
orders                                         own open orders
positions                                      limits held, by interval
limits                                         limits in force now
buy POINT DIRECTION WATTS [PRICE] [INTERVAL]   without a price: a market order
sell POINT DIRECTION WATTS [PRICE] [INTERVAL]
offer POINT WAY WATTS PRICE [INTERVAL]         flexibility of an own resource
request BUS WAY WATTS PRICE [INTERVAL]         flexibility for a bus; "request if BUS ..." under
                                               a condition: it may or may not be activated
flexibility                                    own open offers and requests
amend ORDER [watts=WATTS] [price=PRICE]        ORDER: its number, or its client_order_id
cancel ORDER | cancel all
statement                                      own account so far
wait SECONDS                                   for scripts: let reports come
help, quit
DIRECTION: injection or withdrawal.  WAY: upward or downward.  PRICE: EUR per kW.  INTERVAL: its
start, as 12:15 or 2026-07-01T12:15Z; without it the next one that trades."""


class LineError(ValueError):
    """A line is not a command; the text says why."""


@dataclass(frozen=True, slots=True)
class Show:
    """Show something: ``book``, or one of the words that stand alone."""

    what: str
    direction: Direction = Direction.INJECTION
    interval: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Place an order; without a price a market order."""

    side: Side
    connection_point: str
    direction: Direction
    quantity_w: int
    price: Decimal | None
    interval: datetime | None


@dataclass(frozen=True, slots=True)
class Flexibility:
    """Offer the flexibility of a connection point, or request it for a bus."""

    side: Side
    place: str
    direction: FlexDirection
    quantity_w: int
    price: Decimal
    interval: datetime | None
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Amend:
    """Change an own order."""

    order: str
    quantity_w: int | None
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an own order, or (``None``) all of them."""

    order: str | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Quit:
    """End."""


LineCommand = Show | Place | Flexibility | Amend | Cancel | Wait | Quit

_SHOWN = ("orders", "flexibility", "positions", "limits", "statement", "help")


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads lines.

    Parameters
    ----------
    intervals
        Starts of the intervals that trade, earliest first: a clock time is that of the first of
        them that begins so.

    Examples
    --------
    >>> reader = LineReader([datetime(2026, 7, 1, 12, 15, tzinfo=UTC)])
    >>> reader.read("sell load:3 injection 1500 0.05 12:15").quantity_w
    1500
    >>> reader.read("cancel all")
    Cancel(order=None)
    """

    intervals: Sequence[datetime] = field(default=())

    def read(self, line: str) -> LineCommand | None:
        """Return what a line asks for, ``None`` where it is empty or a comment (``#``).

        Raises
        ------
        LineError
            When it is not a command.
        """
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise LineError(str(error)) from None
        if not words:
            return None
        name, given = words[0].lower(), words[1:]
        match name:
            case "book":
                return self._book(given)
            case "buy" | "sell":
                return self._place(Side(name), given)
            case "offer":
                return self._flexibility(Side.SELL, given)
            case "request" if given[:1] == ["if"]:
                return replace(self._flexibility(Side.BUY, given[1:]), conditional=True)
            case "request":
                return self._flexibility(Side.BUY, given)
            case "amend":
                return self._amend(given)
            case "cancel":
                order = _only(name, given)
                return Cancel(None if order == "all" else order)
            case "wait":
                return Wait(_number("the time", _only(name, given), 3600))
            case "quit" | "exit":
                return Quit()
            case _ if name in _SHOWN:
                if given:
                    raise LineError(f"{name} needs nothing more, found {given[0]!r}")
                return Show(name)
        raise LineError(f"there is no command {name!r}; help lists them")

    def _book(self, given: list[str]) -> Show:
        if len(given) > 2:
            raise LineError("book [DIRECTION] [INTERVAL]")
        direction = _direction(given[0]) if given else Direction.INJECTION
        return Show("book", direction, self._interval(given[1]) if len(given) > 1 else None)

    def _place(self, side: Side, given: list[str]) -> Place:
        if not 3 <= len(given) <= 5:
            raise LineError(f"{side.value} POINT DIRECTION WATTS [PRICE] [INTERVAL]")
        price = _price(given[3]) if len(given) > 3 else None
        interval = self._interval(given[4]) if len(given) > 4 else None
        return Place(side, given[0], _direction(given[1]), _watts(given[2]), price, interval)

    def _flexibility(self, side: Side, given: list[str]) -> Flexibility:
        if not 4 <= len(given) <= 5:
            name = "offer POINT" if side is Side.SELL else "request [if] BUS"
            raise LineError(f"{name} WAY WATTS PRICE [INTERVAL]")
        interval = self._interval(given[4]) if len(given) > 4 else None
        way, watts, price = _way(given[1]), _watts(given[2]), _price(given[3])
        return Flexibility(side, given[0], way, watts, price, interval)

    def _amend(self, given: list[str]) -> Amend:
        changes = dict(part.partition("=")[::2] for part in given[1:])
        if not given or not changes or changes.keys() - {"watts", "price"}:
            raise LineError("amend ORDER [watts=WATTS] [price=PRICE]")
        watts, price = changes.get("watts"), changes.get("price")
        return Amend(
            given[0],
            None if watts is None else _watts(watts),
            None if price is None else _price(price),
        )

    def _interval(self, text: str) -> datetime:
        try:
            clock = time.fromisoformat(text)
        except ValueError:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                raise LineError(f"{text!r} is no time as 12:15 or 2026-07-01T12:15Z") from None
            if moment.tzinfo is None:
                raise LineError(f"{text} has no offset; write Z for UTC") from None
            return moment.astimezone(UTC)
        found = next((each for each in self.intervals if each.time() == clock), None)
        if found is None:
            raise LineError(f"no interval that trades begins at {text} UTC")
        return found


def _only(name: str, given: list[str]) -> str:
    if len(given) != 1:
        raise LineError(f"{name} needs one thing more, found {len(given)}")
    return given[0]


def _direction(text: str) -> Direction:
    found = [each for each in Direction if text and each.value.startswith(text.lower())]
    if len(found) != 1:
        raise LineError(f"{text!r} is neither injection nor withdrawal")
    return found[0]


def _way(text: str) -> FlexDirection:
    found = [each for each in FlexDirection if text and each.value.startswith(text.lower())]
    if len(found) != 1:
        raise LineError(f"{text!r} is neither upward nor downward")
    return found[0]


def _watts(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise LineError(f"{text!r} is no whole number of watts")
    return int(text)


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite():
        raise LineError(f"{text!r} is no price in EUR per kW")
    return price


def _number(what: str, text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise LineError(f"{what} is {text!r}, it should be a number from 0 to {most:g}")
    return number
