"""Double entry in integers: what one account pays, another receives.

The accounts are those of the participants and of the DSO (``DSO_ACCOUNTS``).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple


class Purpose(StrEnum):
    """The purpose of an entry."""

    TRADE = "trade"
    COMPENSATION = "compensation"
    PENALTY = "penalty"
    FLEXIBILITY = "flexibility"
    """What requests of the continuous market pay to offers."""
    AVAILABILITY = "availability"
    """Flexibility held ready."""
    UTILISATION = "utilisation"
    """Flexibility that is ordered."""
    DEFICIENCY = "deficiency"
    """What a provider pays back of the two, because it was not there."""


_FLEXIBILITY = (
    Purpose.FLEXIBILITY,
    Purpose.AVAILABILITY,
    Purpose.UTILISATION,
    Purpose.DEFICIENCY,
)


class LedgerEntry(NamedTuple):
    """One account pays another: ``amount`` tick-watts, for an interval.

    A tuple, because every trade makes one and a frozen dataclass takes three times as long.
    ``quantity_w`` is the limit that a trade moved from payee to payer, in watts.  An entry is
    reversed by another that goes the other way.
    """

    interval: datetime
    purpose: Purpose
    payer: str
    payee: str
    amount: int
    quantity_w: int = 0


@dataclass(slots=True)
class Account:
    """The bookings of one account in one interval: watts, and money in tick-watts.

    ``paid`` and ``received`` are for trades.  ``compensation`` is what it received, ``penalties``
    what it owes; both are negative on the account of the DSO that stands against them.
    ``flexibility`` is what it received for flexibility, less what it paid.
    """

    bought_w: int = 0
    sold_w: int = 0
    paid: int = 0
    received: int = 0
    compensation: int = 0
    penalties: int = 0
    flexibility: int = 0

    @property
    def balance(self) -> int:
        """The balance in favour of the account, in tick-watts."""
        money = self.received - self.paid + self.compensation - self.penalties
        return money + self.flexibility

    def pay(self, entry: LedgerEntry) -> None:
        """Take the payer's side of an entry."""
        if entry.purpose is Purpose.TRADE:
            self.bought_w += entry.quantity_w
            self.paid += entry.amount
        elif entry.purpose is Purpose.COMPENSATION:
            self.compensation -= entry.amount
        elif entry.purpose in _FLEXIBILITY:
            self.flexibility -= entry.amount
        else:
            self.penalties += entry.amount

    def receive(self, entry: LedgerEntry) -> None:
        """Take the payee's side of an entry."""
        if entry.purpose is Purpose.TRADE:
            self.sold_w += entry.quantity_w
            self.received += entry.amount
        elif entry.purpose is Purpose.COMPENSATION:
            self.compensation += entry.amount
        elif entry.purpose in _FLEXIBILITY:
            self.flexibility += entry.amount
        else:
            self.penalties -= entry.amount


class Ledger:
    """The bookings of each interval since the last statement, and the balances of all accounts."""

    __slots__ = ("_accounts", "_balances", "_settled")

    def __init__(self) -> None:
        self._accounts: dict[datetime, dict[str, Account]] = {}
        self._settled: dict[str, int] = {}
        # Over settled and unsettled bookings; follows from the other two.
        self._balances: dict[str, int] = {}

    def book(self, entry: LedgerEntry) -> None:
        """Let the payer pay and the payee receive.  O(1)."""
        accounts, balances = self._accounts.setdefault(entry.interval, {}), self._balances
        for name in (entry.payer, entry.payee):
            if name not in accounts:
                accounts[name] = Account()
                balances.setdefault(name, 0)
        accounts[entry.payer].pay(entry)
        accounts[entry.payee].receive(entry)
        balances[entry.payer] -= entry.amount
        balances[entry.payee] += entry.amount

    def accounts(self, interval: datetime) -> dict[str, Account]:
        """Return the unsettled accounts of an interval by name, in their order."""
        return dict(sorted(self._accounts.get(interval, {}).items()))

    def account(self, interval: datetime, name: str) -> Account | None:
        """Return one unsettled account; ``None`` without a booking.  O(1)."""
        return self._accounts.get(interval, {}).get(name)

    def unsettled(self, name: str) -> list[tuple[datetime, Account]]:
        """Return what an account has booked since its last statements, by interval.

        O(intervals with bookings).
        """
        found = ((start, self._accounts[start].get(name)) for start in sorted(self._accounts))
        return [(start, account) for start, account in found if account is not None]

    def settle(self, interval: datetime, name: str) -> None:
        """Close an account of an interval into its balance.

        Raises
        ------
        KeyError
            When it has no booking since it was settled last.
        """
        account = self._accounts[interval].pop(name)
        if not self._accounts[interval]:
            del self._accounts[interval]
        self._settled[name] = self.settled_balance(name) + account.balance

    def settled_balance(self, name: str) -> int:
        """Return the balance of an account over all its statements, in tick-watts.  O(1)."""
        return self._settled.get(name, 0)

    def balance(self, name: str) -> int:
        """Return the balance of an account, settled or not, in tick-watts.  O(1)."""
        return self._balances.get(name, 0)

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "accounts": [
                [interval.isoformat(), name, *astuple(account)]
                for interval in sorted(self._accounts)
                for name, account in self.accounts(interval).items()
            ],
            "settled": dict(sorted(self._settled.items())),
        }

    @classmethod
    def restore(cls, data: dict[str, Any]) -> Ledger:
        """Return the ledger a snapshot was taken of."""
        ledger = cls()
        for interval, name, *figures in data["accounts"]:
            accounts = ledger._accounts.setdefault(datetime.fromisoformat(interval), {})
            accounts[name] = Account(*figures)
        ledger._settled = dict(data["settled"])
        ledger._balances = ledger._summed()
        return ledger

    def _summed(self) -> dict[str, int]:
        balances = dict(self._settled)
        for accounts in self._accounts.values():
            for name, account in accounts.items():
                balances[name] = balances.get(name, 0) + account.balance
        return balances

    def check_invariants(self) -> None:
        """Check that money and watts add up to zero, in each interval and over all.

        Raises
        ------
        AssertionError
            With the interval and the difference.
        """
        for interval, accounts in self._accounts.items():
            for word, left in (
                ("balances", sum(account.balance for account in accounts.values())),
                ("compensation", sum(account.compensation for account in accounts.values())),
                ("penalties", sum(account.penalties for account in accounts.values())),
                ("flexibility", sum(account.flexibility for account in accounts.values())),
            ):
                assert left == 0, f"{interval}: {word} add up to {left} tick-watts"
            net_w = sum(account.bought_w - account.sold_w for account in accounts.values())
            assert net_w == 0, f"{interval}: {net_w} W more were bought than sold"
        balance = sum(self._settled.values())
        assert balance == 0, f"settled balances add up to {balance} tick-watts"
        assert self._balances == self._summed(), "balances are not the sums of their parts"
