"""The file of a coordination case, key by key (``docs/coordination.md``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from doe_allocation.procurement.choices import FlexDirection
from gateway.formats.records import LARGEST_W, Name, SignedWatts
from gateway.scenario.schema import PerPoint, Section

Price = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
PriceCap = Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)]
Power = Annotated[int, Field(gt=0, le=LARGEST_W)]
VoltagePu = Annotated[float, Field(gt=0.0, lt=2.0, allow_inf_nan=False)]
Direction = Annotated[FlexDirection, Field(strict=False)]
PartOfRating = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class NeedSection(Section):
    """The TSO's need, at its connection points."""

    direction: Direction
    power_w: Annotated[int, Field(ge=0, le=LARGEST_W)]
    price_cap_eur_per_mwh: PriceCap = 3000.0


class BaseSection(Section):
    """The power of an operator's customers with nothing activated, injection positive."""

    power_w: PerPoint[SignedWatts]


class PortfolioSection(Section):
    """What a balance responsible party buys."""

    name: Name
    power_w: Power
    value_eur_per_mwh: Price


class LoadingSection(Section):
    """A branch that is to stay below a part of its rating."""

    operator: Name
    element: Name
    loading_max: PartOfRating


class OfferSection(Section):
    """An offer; ``power_w`` and the price are var and EUR/Mvarh where it is reactive."""

    name: Name
    provider: Name
    operator: Name
    connection_point: Name
    direction: Direction
    power_w: Power
    price_eur_per_mwh: Price
    reactive: bool = False


class CoordinationCaseSections(Section):
    """The whole file."""

    hierarchy: Name
    source_pu: VoltagePu
    source_min_pu: VoltagePu | None = None
    source_max_pu: VoltagePu | None = None
    validated_loading: PartOfRating = 0.95
    need: NeedSection
    base: dict[Name, BaseSection] = Field(default_factory=dict)
    portfolios: list[PortfolioSection] = Field(default_factory=list)
    loadings: list[LoadingSection] = Field(default_factory=list)
    offers: Annotated[list[OfferSection], Field(min_length=1)]
