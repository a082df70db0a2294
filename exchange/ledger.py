"""Double entry in integers: whatever one participant pays, another receives.

The operator has an account like a participant: the congestion rent, and what it issues or retires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exchange.events import Fill
from exchange.rules import OPERATOR


@dataclass(slots=True)
class Account:
    """What one participant traded in one interval: watts, and money in tick-watts."""

    bought_w: int = 0
    sold_w: int = 0
    paid: int = 0
    received: int = 0

    @property
    def balance(self) -> int:
        """What the participant is owed (negative: owes), in tick-watts."""
        return self.received - self.paid


class Ledger:
    """The accounts of open intervals, and each participant's balance from settled ones."""

    __slots__ = ("_accounts", "_settled")

    def __init__(self) -> None:
        self._accounts: dict[datetime, dict[str, Account]] = {}
        self._settled: dict[str, int] = {}

    def post(self, fills: Sequence[Fill]) -> None:
        """Book a clearing.

        What buyers pay beyond what sellers receive is the operator's, and so are the watts bought
        beyond those sold: in each interval, because legs of a joint order may make up for each
        other across intervals.
        """
        for interval in {fill.interval: None for fill in fills}:
            money = watts = 0
            for fill in fills:
                if fill.interval == interval:
                    self._enter(interval, fill.participant, fill.amount, fill.change_w)
                    money += fill.amount
                    watts += fill.change_w
            if money or watts:
                self._enter(interval, OPERATOR, -money, -watts)

    def _enter(self, interval: datetime, participant: str, amount: int, change_w: int) -> None:
        account = self._accounts.setdefault(interval, {}).setdefault(participant, Account())
        account.bought_w += max(change_w, 0)
        account.sold_w += max(-change_w, 0)
        account.paid += max(amount, 0)
        account.received += max(-amount, 0)

    def accounts(self, interval: datetime) -> dict[str, Account]:
        """Return the unsettled accounts of an interval by participant, in their order."""
        return dict(sorted(self._accounts.get(interval, {}).items()))

    def settle(self, interval: datetime, participant: str) -> None:
        """Close a participant's account of an interval into its balance."""
        account = self._accounts[interval].pop(participant)
        if not self._accounts[interval]:
            del self._accounts[interval]
        self._settled[participant] = self.settled_balance(participant) + account.balance

    def settled_balance(self, participant: str) -> int:
        """Return what all settled intervals owe a participant, in tick-watts."""
        return self._settled.get(participant, 0)

    def balance(self, participant: str) -> int:
        """Return what a participant is owed in all, settled or not, in tick-watts.

        O(intervals not settled).
        """
        unsettled = sum(
            accounts[participant].balance
            for accounts in self._accounts.values()
            if participant in accounts
        )
        return self.settled_balance(participant) + unsettled

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "accounts": [
                [interval.isoformat(), participant, a.bought_w, a.sold_w, a.paid, a.received]
                for interval in sorted(self._accounts)
                for participant, a in self.accounts(interval).items()
            ],
            "settled": dict(sorted(self._settled.items())),
        }

    @classmethod
    def restore(cls, data: dict[str, Any]) -> Ledger:
        """Return the ledger a snapshot was taken of."""
        ledger = cls()
        for interval, participant, *figures in data["accounts"]:
            accounts = ledger._accounts.setdefault(datetime.fromisoformat(interval), {})
            accounts[participant] = Account(*figures)
        ledger._settled = dict(data["settled"])
        return ledger

    def check_invariants(self) -> None:
        """Check that nothing was made or lost, in any interval or over all.

        Raises
        ------
        AssertionError
            With the interval and what is left over.
        """
        for interval, accounts in self._accounts.items():
            balance = sum(account.balance for account in accounts.values())
            assert balance == 0, f"{interval}: balances add up to {balance} tick-watts"
            net_w = sum(account.bought_w - account.sold_w for account in accounts.values())
            assert net_w == 0, f"{interval}: {net_w} W more were bought than sold"
        balance = sum(self._settled.values())
        assert balance == 0, f"settled balances add up to {balance} tick-watts"
