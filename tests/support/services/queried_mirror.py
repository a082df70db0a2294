"""A mirror of one participant's orders and limits, made of answers and reports alone.

It follows the rule of docs/formats/messages.md and nothing else: it knows no code of the exchange.
"""

from __future__ import annotations

from collections import deque
from typing import Any

Content = dict[str, Any]

ORDER_KEYS = ("connection_point", "direction", "interval", "side", "quantity_w", "price")


class Mirror:
    """Open orders and limits of a participant.

    While pages are missing, reports wait until it is known which page they come before.

    Attributes
    ----------
    orders
        By ``client_order_id``, the legs by number; a plain order is one leg.
    limits
        ``(injection, withdrawal)`` in watts, by connection point and interval.
    sequence
        Of the last report that is part of it.
    """

    def __init__(self) -> None:
        self.orders: dict[str, dict[int, Content]] = {}
        self.limits: dict[tuple[str, str], tuple[int, int]] = {}
        self.sequence = 0
        self._waiting: deque[Content] = deque()
        self._missing = {"orders", "positions"}
        self._begun: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether all pages are there."""
        return not self._missing

    def lose(self) -> None:
        """Begin anew, as a client does that has lost a report."""
        self._missing = {"orders", "positions"}
        self._begun = set()

    def hear(self, report: Content) -> None:
        """Take the next report; a repetition changes nothing."""
        if self._waiting and report["sequence"] <= self._waiting[-1]["sequence"]:
            return
        if report["sequence"] <= self.sequence:
            return
        self._waiting.append(report)
        if self.complete:
            self._apply_until(report["sequence"])

    def can_take(self, page: Content) -> bool:
        """Return whether all reports before a page are there."""
        heard = self._waiting[-1]["sequence"] if self._waiting else self.sequence
        return not self._begun or heard >= page["report_sequence"]

    def take(self, page: Content) -> None:
        """Take a page of the answer about orders or positions."""
        about = page["about"]
        if not self._begun:
            # The first page of all: what was before does not matter any more.
            while self._waiting and self._waiting[0]["sequence"] <= page["report_sequence"]:
                self._waiting.popleft()
            self.orders.clear()
            self.limits.clear()
            self.sequence = page["report_sequence"]
        else:
            self._apply_until(page["report_sequence"])
        self._begun.add(about)
        for entry in page["entries"]:
            if about == "orders":
                self.orders[entry["client_order_id"]] = _legs(entry)
            else:
                self._hold(entry)
        if "next" not in page:
            self._missing.discard(about)
        if self.complete and self._waiting:
            self._apply_until(self._waiting[-1]["sequence"])

    def _apply_until(self, sequence: int) -> None:
        while self._waiting and self._waiting[0]["sequence"] <= sequence:
            report = self._waiting.popleft()
            assert report["sequence"] == self.sequence + 1, "a report is missing"
            self.sequence = report["sequence"]
            self._apply(report)

    def _hold(self, entry: Content) -> None:
        limits = (entry["injection_limit_w"], entry["withdrawal_limit_w"])
        self.limits[entry["connection_point"], entry["interval"]] = limits

    def _apply(self, report: Content) -> None:
        kind = report["type"]
        if kind == "position":
            self._hold(report)
        if report.get("repeated") or "client_order_id" not in report or kind == "refused":
            return
        key = report["client_order_id"]
        if kind in ("accepted", "joint_accepted"):
            self.orders[key] = _legs(report)
        elif key in self.orders:
            self._change(key, report)

    def _change(self, key: str, report: Content) -> None:
        kind, legs = report["type"], self.orders[key]
        if kind == "cancelled":
            del self.orders[key]
        elif kind == "traded":
            leg = legs[report["order_id"]]
            leg["remaining_w"] -= report["quantity_w"]
            if not leg["remaining_w"]:
                del legs[report["order_id"]]
        elif kind == "reduced":
            leg = legs[report["order_id"]]
            leg["quantity_w"] -= report["reduced_by_w"]
            leg["remaining_w"] = report["remaining_w"]
            if not leg["remaining_w"]:
                del legs[report["order_id"]]
        elif kind in ("amended", "refilled"):
            (leg,) = legs.values()
            changed = ("quantity_w", "remaining_w", "price")
            leg |= {name: report[name] for name in changed if name in report}
            self.orders[key] = {report["order_id"]: leg} if leg["remaining_w"] else {}
        if not self.orders.get(key, legs):
            del self.orders[key]


def _legs(entry: Content) -> dict[int, Content]:
    found = entry.get("legs", [entry])
    return {
        leg["order_id"]: {
            **{name: leg[name] for name in ORDER_KEYS},
            "remaining_w": leg.get("remaining_w", leg["quantity_w"]),
        }
        for leg in found
    }
