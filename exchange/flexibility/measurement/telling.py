"""What parties tell each other about orders, meters and reports."""

from __future__ import annotations

from collections.abc import Iterable

from doe_allocation.coordination.messages import Message, rounded
from exchange.flexibility.measurement.measuring import MeasuredOrder
from exchange.flexibility.measurement.metering import SECONDS_PER_HOUR
from exchange.flexibility.measurement.monitoring import Monitored
from exchange.flexibility.measurement.orders import ActivationRules, GivenOrder
from exchange.flexibility.products.vocabulary import Party, Role
from exchange.flexibility.settlement.activation import ActivationRefusal


def orders(market: str, rules: ActivationRules, given: Iterable[GivenOrder]) -> list[Message]:
    """Return each order as it is given to its provider, and each refusal."""
    found = []
    for each in given:
        provider = each.awards[0].provider
        buyers = list(dict.fromkeys(award.buyer for award in each.awards))
        content = {
            "order": each.order.activation_id,
            "resource": each.order.resource,
            "direction": each.order.direction.value,
            "power_w": each.order.power_w,
            "first": each.intervals[0],
            "hold_s": each.order.hold_s,
        }
        senders = [market] if rules.by_market else buyers
        found += [Message(sender, provider, "activation order", content) for sender in senders]
        if isinstance(each.answer, ActivationRefusal):
            answer = {"order": each.order.activation_id, "reason": each.answer.reason.value}
            found += [
                Message(provider, sender, "activation refused", answer)
                for sender in dict.fromkeys([*senders, *buyers])
            ]
    return found


def deliveries(market: str, measured: Iterable[MeasuredOrder]) -> list[Message]:
    """Return the metered power as providers tell it, and the delivery as the market tells it."""
    found = []
    for each in measured:
        order, awards, delivery = each.given.order, each.given.awards, each.delivery
        provider = awards[0].provider
        content = {
            "resource": order.resource,
            "first": each.given.intervals[0],
            "metered_w": list(each.metered_w),
        }
        found.append(Message(provider, market, "metered power", content))
        answer = {
            "order": order.activation_id,
            "baseline_w": list(each.baseline.watts),
            "delivered_wh": rounded(float(delivery.delivered / SECONDS_PER_HOUR)),
            "deficient_wh": rounded(float(delivery.deficient / SECONDS_PER_HOUR)),
            "excused_wh": rounded(float(delivery.excused / SECONDS_PER_HOUR)),
        }
        parties = dict.fromkeys([provider, *(award.buyer for award in awards)])
        found += [Message(market, party, "delivery", answer) for party in parties]
    return found


def reports(market: str, parties: Iterable[Party], report: Monitored) -> list[Message]:
    """Return the report of a market as each operator receives it."""
    content = {
        "zones": {
            f"{each.zone} {each.direction.value}": {
                "sold_wh": each.sold_ws // SECONDS_PER_HOUR,
                "delivered_wh": rounded(float(each.delivered_ws / SECONDS_PER_HOUR)),
            }
            for each in report.zones
        },
        "overloaded": [[each.branch, each.interval] for each in report.branches if each.overloaded],
    }
    operators = [each.name for each in parties if each.role in (Role.DSO, Role.TSO)]
    return [Message(market, each, "monitoring report", content) for each in operators]
