"""The linear current model: voltages and currents as linear functions of powers.

Around voltages ``v~`` of an AC power flow, currents are ``i = conj(s / v~)``, so that every voltage
and every branch current is a complex linear function of the activations f and the deviations xi:

    x = x0 + X f + D xi,        X = M conj(1 + j r) / conj(v~),    D = M conj(delta) / conj(v~)

M is the response of phasors to port currents (``Monitors.response``), r the resources' ratio of
reactive to active power, delta their half-bands.  The largest part of x along a direction d is

    Re(conj(d) (x0 + X f)) + h(d),      h(d) = max over the set of Re(conj(d) D) xi

exact for each set by its support point (:mod:`security_check.uncertainty.deviation_sets`); for the
box it is ``sum |Re(conj(d) D)|``, the closed form of strong duality.  The model is the security
check's own (``PowerFlow``, ``Monitors``) with currents at fixed voltages: the linear step of its
fixed point.  Its rows of exact AC gradients are another linearisation, which
:mod:`doe_allocation.procurement.ac_rows` uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from doe_allocation.procurement.problem import ProcurementProblem
from security_check.arrays import ComplexArray, FloatArray
from security_check.uncertainty.deviation_sets import DeviationSet

_AROUND = 64  # directions from which the farthest point of a set is climbed to
_CLIMBS = 30  # steps of such a climb at most; for boxes it ends after two or three


@dataclass(frozen=True, slots=True)
class LinearModel:
    """The phasors of one network around one operating point; Q phasors, c connection points.

    Parameters
    ----------
    base
        Shape (Q,), the phasors without activation and deviation, by the linear model.
    by_power
        Shape (Q, c), by the injected powers, per unit.
    by_deviation
        Shape (Q, d), by the deviations.
    within
        The set of deviations.
    operating
        Shape (Q,), the phasors at the operating point, by the AC power flow.
    """

    base: ComplexArray
    by_power: ComplexArray
    by_deviation: ComplexArray
    within: DeviationSet
    operating: ComplexArray

    @classmethod
    def around(cls, problem: ProcurementProblem, activated: FloatArray) -> Self:
        """Return the model around the AC power flow of activations, shape (o,), per unit.

        Raises
        ------
        PowerFlowError
            When there is no such power flow.
        """
        monitors, network = problem.monitors, problem.network
        expected = problem.forecast.power_pu
        powers = expected + network.point_ports @ (problem.change @ activated)
        source = np.array([[problem.source_pu]])
        solved = monitors.power_flow.solve(powers[:, None], source)
        fixed = monitors.fixed @ source[:, 0]
        per_power = monitors.response / solved.voltage[:, 0].conj()[None, :]
        # What is injected enters a current as its conjugate, so conjugate matrices stand here.
        ports, deviating = network.point_ports.conj(), problem.forecast.deviations.power_pu.conj()
        return cls(
            base=per_power @ expected.conj() + fixed,
            by_power=np.asarray(per_power @ ports),
            by_deviation=np.asarray(per_power @ deviating),
            within=problem.forecast.deviations.set,
            operating=monitors.response @ solved.current[:, 0] + fixed,
        )

    def expected(self, injected: FloatArray) -> ComplexArray:
        """Return the phasors, shape (Q,), with injected powers, (c,), and without deviations."""
        expected: ComplexArray = self.base + self.by_power @ injected
        return expected

    def margins(self, phasor: int, directions: ComplexArray) -> FloatArray:
        """Return ``h(d)`` of a phasor, shape (N,), for N directions."""
        along = (directions.conj()[:, None] * self.by_deviation[phasor][None, :]).real
        margins: FloatArray = (along * self.within.support(along)).sum(axis=1)
        return margins

    def deviations(self, phasor: int) -> tuple[float, float]:
        """Return the largest deviations of the real and of the imaginary part of a phasor."""
        real, imaginary = self.margins(phasor, np.array([1.0, 1j]))
        return float(real), float(imaginary)

    def farthest(self, phasor: int, injected: FloatArray) -> tuple[complex, FloatArray]:
        """Return a phasor where its magnitude is largest, and the deviations there, shape (d,).

        The farthest point of the set is that of its own direction.  It is climbed to from 64
        directions and those at which the vertex of a box changes, so for boxes none is missed.
        """
        centre = complex(self.base[phasor] + self.by_power[phasor] @ injected)
        own = self.by_deviation[phasor]
        directions = _directions(own, centre)
        deviation = self.within.support((directions.conj()[:, None] * own).real)
        reached = centre + deviation @ own
        for _ in range(_CLIMBS):
            along = reached / np.maximum(np.abs(reached), 1e-300)
            following = self.within.support((along.conj()[:, None] * own).real)
            further = centre + following @ own
            better = np.abs(further) > np.abs(reached) * (1.0 + 1e-15)
            if not better.any():
                break
            reached = np.where(better, further, reached)
            deviation = np.where(better[:, None], following, deviation)
        best = int(np.abs(reached).argmax())
        return complex(reached[best]), deviation[best]

    def lowest(self, phasor: int, injected: FloatArray) -> tuple[float, FloatArray]:
        """Return the least part along the operating point's direction, and the deviations there.

        A magnitude is never below such a part, so this bounds a voltage from below.
        """
        direction = np.array([-self.operating[phasor] / np.abs(self.operating[phasor])])
        along = (direction.conj()[:, None] * self.by_deviation[phasor][None, :]).real
        deviation = self.within.support(along)
        centre = (direction.conj() * self.expected(injected)[phasor]).real
        return -float((centre + (along * deviation).sum(axis=1))[0]), deviation[0]


def _directions(own: ComplexArray, centre: complex) -> ComplexArray:
    """Return directions in which to begin, among them one for each vertex of the box's image."""
    moving = own[np.abs(own) > 0.0]
    turns = np.sort(np.mod(np.angle(np.concatenate([1j * moving, -1j * moving])), 2.0 * np.pi))
    between = 0.5 * (turns + np.append(turns[1:], turns[:1] + 2.0 * np.pi))
    around = 2.0 * np.pi / _AROUND * np.arange(_AROUND)
    first = [float(np.angle(centre))]
    directions: ComplexArray = np.exp(1j * np.concatenate([first, around, between]))
    return directions
