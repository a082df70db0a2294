"""Invariants of the whole state: every part, and the indexes that join the parts."""

from __future__ import annotations

from exchange.state.state import State
from exchange.vocabulary.events import JointOrderAccepted
from exchange.vocabulary.orders import Order


def check_state(state: State) -> None:
    """Check every session, the ledger, the answers, and the indexes that join them.

    Raises
    ------
    AssertionError
        With what breaks a rule.
    """
    resting: dict[int, Order] = {}
    for session in state.sessions.values():
        session.check_invariants()
        resting.update((order.order_id, order) for order in session.orders())
    assert resting == state.orders, "orders and sessions disagree about what is open"
    flexible = {n: o for s in state.sessions.values() for n, o in s.flexibility.orders.items()}
    assert flexible == state.flexible_orders, "orders for flexibility and sessions disagree"
    assert list(state.flexible_orders) == sorted(flexible), "orders for flexibility out of order"
    own = [(name, number) for name, each in state.own_orders.items() for number in each]
    assert sorted(own) == sorted((o.participant, o.order_id) for o in resting.values()), (
        "orders and those of each participant disagree"
    )
    assert all(list(each) == sorted(each) and each for each in state.own_orders.values()), (
        "a participant's orders are not in the order of their numbers"
    )
    conditional = {order.order_id for order in resting.values() if order.conditional}
    assert conditional == state.conditional, "conditional orders and their index disagree"
    dated = {(o.expires_at, o.order_id) for o in resting.values() if o.expires_at is not None}
    assert dated == set(state.expiries), "expiries and orders disagree"
    deadlines = {(s.phase_until, s.start) for s in state.sessions.values() if s.is_open}
    assert deadlines == set(state.phase_deadlines), "deadlines and sessions disagree"
    for order in resting.values():
        answer = state.answers.find(order.participant, order.client_order_id)
        assert answer is not None, f"order {order.order_id} has no answer on record"
        number = order.order_id if order.joint_id is None else order.joint_id
        assert answer.order_id == number, f"order {order.order_id} was {answer}"
    for open_order in flexible.values():
        answer = state.answers.find(open_order.participant, open_order.client_order_id)
        found = None if answer is None else answer.order_id
        assert found == open_order.order_id, f"order {open_order.order_id} was {answer}"
    _check_joints(state, resting)
    state.answers.check_invariants()
    state.safeguards.check_invariants()
    state.ledger.check_invariants()
    state.metering.check_invariants()


def _check_joints(state: State, resting: dict[int, Order]) -> None:
    """Check that joint orders have all their legs, with the same rest unless all-or-none."""
    legs = {leg.order_id for each in state.joints.values() for leg in each}
    joint = {order.order_id for order in resting.values() if order.joint_id is not None}
    assert legs == joint, "joint orders and their legs disagree"
    for number, each in state.joints.items():
        answer = state.answers.find(each[0].participant, each[0].client_order_id)
        assert answer is not None, f"joint order {number} has no answer on record"
        assert isinstance(answer.event, JointOrderAccepted), f"joint order {number}: {answer}"
        assert each[0].order_id == number, f"joint order {number} lost its first leg"
        assert len(each) == len(answer.event.legs), f"joint order {number} lost a leg"
        left = {leg.remaining_w for leg in each}
        partly = len(left) > 1 and not each[0].conditions.all_or_none
        assert not partly, f"the legs of joint order {number} have {left} W left"
