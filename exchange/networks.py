"""What the exchange knows of the network in each interval, beside its state.

None of this is state: it follows from the envelopes in force, and after a restart it is rebuilt
from them when it is first needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from exchange.grid import SecurityState
from security_check.envelope import Direction
from security_check.errors import GridError
from security_check.verdict import LimitChange, Verdict

CONFIRMATION_ROUNDS = 8
"""How often a quantity is looked for again after the AC power flow has refused one.

Each refusal corrects the linear rows, which converge in 3 to 6 rounds; what still is refused
after these is not going to be a trade.
"""

_NO_RESULT = "power_flow"
"""The element that blocks where the check of a transfer failed."""


@dataclass(frozen=True, slots=True)
class Secure:
    """A transfer that the AC power flow has confirmed and that is in force now."""

    quantity_w: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Blocked:
    """No lot can move between two connection points.

    ``final`` marks a refusal by the AC power flow: asking the linear rows again cannot lift it
    before something else changes.
    """

    element: str
    detail: str
    final: bool = False


@dataclass(slots=True)
class IntervalNetwork:
    """The security state of one interval, and which transfers it is known to block.

    Parameters
    ----------
    security
        The envelopes in force, as the network sees them.
    lot_w
        The quantity step, in watts.

    Attributes
    ----------
    rescan_due
        Whether headroom has changed since all crossing orders were last looked at.
    failures
        Checks that came to no result, as sentences; whoever raises the alarm empties it.
    """

    security: SecurityState
    lot_w: int
    rescan_due: bool = True
    failures: list[str] = field(default_factory=list)
    _blocked: dict[tuple[Direction, str, str], Blocked] = field(default_factory=dict)
    _outdated: bool = False

    def copy(self) -> IntervalNetwork:
        """Return an independent copy, to try trades on."""
        return replace(
            self,
            security=self.security.copy(),
            failures=list(self.failures),
            _blocked=dict(self._blocked),
        )

    def take_back(self, saved: IntervalNetwork) -> None:
        """Undo all transfers since ``saved`` was copied.

        Checks that came to no result stay on record, and so does what they block: to ask the
        same again would only raise the same alarm again.
        """
        failed = {pair: each for pair, each in self._blocked.items() if each.element == _NO_RESULT}
        self.security = saved.security
        self.rescan_due = saved.rescan_due
        self._blocked = saved._blocked | failed
        self._outdated = saved._outdated

    def refresh(self) -> None:
        """Forget what was blocked before the last trade, because trades can free headroom."""
        if self._outdated:
            self._blocked.clear()
            self._outdated = False

    def forget_linear(self) -> None:
        """Forget every block that the linear rows can state again."""
        self._blocked = {pair: block for pair, block in self._blocked.items() if block.final}

    def transfer(
        self,
        direction: Direction,
        seller: str,
        buyer: str,
        wanted_w: int,
        at_least_w: int = 0,
    ) -> Secure | Blocked:
        """Put the largest secure part of a transfer into force.

        Parameters
        ----------
        direction
            Which limit moves.
        seller, buyer
            The connection points it moves from and to.
        wanted_w
            How much is wanted, in watts, at least a lot.
        at_least_w
            With less than this nothing is put into force.

        Returns
        -------
        What is in force now, a multiple of the lot and confirmed by the AC power flow; or what
        blocks it, remembered until :meth:`refresh`, so that asking again costs a look-up.
        """
        pair = (direction, seller, buyer)
        block = self._blocked.get(pair)
        if block is not None:
            return block
        try:
            outcome = self._look_for(direction, seller, buyer, wanted_w, at_least_w)
        except GridError as error:
            detail = f"the check of {direction} limit from {seller} to {buyer} failed: {error}"
            self.failures.append(detail)
            outcome = Blocked(_NO_RESULT, detail, final=True)
        if isinstance(outcome, Blocked):
            # Where a part was too small, others may ask for less, and get it.
            if at_least_w <= self.lot_w or outcome.final:
                self._blocked[pair] = outcome
        else:
            self._outdated = self.rescan_due = True
        return outcome

    def _look_for(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int, at_least_w: int
    ) -> Secure | Blocked:
        verdict: Verdict | None = None
        least_w = max(self.lot_w, at_least_w)
        for _ in range(CONFIRMATION_ROUNDS):
            secure_w, element = self.security.largest_secure_w(direction, seller, buyer, wanted_w)
            quantity_w = min(secure_w, wanted_w) // self.lot_w * self.lot_w
            if quantity_w < least_w:
                least = "lot" if least_w == self.lot_w else "part"
                worst_case = self.security.explain(element)
                return Blocked(
                    element=element,
                    detail=f"{element} leaves no {least} of {least_w:,} W of {direction} limit "
                    f"to move from {seller} to {buyer}{worst_case and ': ' + worst_case}",
                )
            changes = (
                LimitChange(seller, direction, -quantity_w),
                LimitChange(buyer, direction, quantity_w),
            )
            verdict = self.security.confirm(changes)
            if verdict.secure:
                self.security.commit(changes)
                return Secure(quantity_w, verdict)
            wanted_w = quantity_w
        assert verdict is not None
        return Blocked(
            element=verdict.element,
            detail=f"{direction} limit from {seller} to {buyer} is {verdict}",
            final=True,
        )
