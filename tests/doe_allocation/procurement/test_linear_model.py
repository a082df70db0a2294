"""Margins of the linear model against every vertex of its sets, on random radial feeders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from procurement_cases import loaded, problem_of
from random_feeders import Feeder, random_case
from sampling import examples

from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.polygon import Polygon
from gateway.flexibility.case_loading import SetChoice

SEEDS = st.integers(0, 10_000)


def model_of(case, within="box"):
    problem = problem_of(case, within)
    return problem, LinearModel.around(problem, np.zeros(len(problem.offers)))


def phasors(case, loads):
    """Return the oracle's linear phasors, per unit: voltages but the source's, then currents."""
    feeder = Feeder(case)
    problem = problem_of(case)
    volt, current = feeder.linear(np.zeros(len(feeder.load)), loads)
    base_a = problem.network.terminals.base_current_a[0]
    order = [feeder.place[int(name.split(":")[1])] for name in problem.network.voltages.elements]
    return np.vstack([volt[order] / feeder.volts, current / base_a])


@settings(max_examples=examples(40))
@given(SEEDS, st.integers(1, 6))
def test_margins_are_exact_over_all_vertices_of_the_box(seed, pods):
    case = random_case(seed, pods=pods)
    problem, model = model_of(case)
    every = phasors(case, Feeder(case).vertices())
    directions = np.exp(1j * np.random.default_rng(seed).uniform(0, 2 * np.pi, 5))
    nothing = np.zeros(pods)
    for k, points in enumerate(every):
        along = (directions.conj()[:, None] * points).real.max(axis=1)
        ours = (directions.conj() * model.base[k]).real + model.margins(k, directions)
        assert ours == pytest.approx(along, abs=1e-9)
        centre = points.mean()
        real, imaginary = model.deviations(k)
        assert real == pytest.approx(np.abs((points - centre).real).max(), abs=1e-9)
        assert imaginary == pytest.approx(np.abs((points - centre).imag).max(), abs=1e-9)
        worst, deviation = model.farthest(k, nothing)
        assert abs(worst) == pytest.approx(np.abs(points).max(), abs=1e-9)
        assert worst == pytest.approx(model.base[k] + model.by_deviation[k] @ deviation, abs=1e-12)
        if k < len(problem.network.voltages.elements):
            lowest, _ = model.lowest(k, nothing)
            assert lowest <= np.abs(points).min() + 1e-9


@settings(max_examples=examples(30))
@given(SEEDS, st.integers(2, 5), st.data())
def test_margins_of_a_budget_are_those_of_its_extreme_points(seed, pods, data):
    gamma = data.draw(st.one_of(st.integers(0, pods).map(float), st.floats(0.0, pods)))
    case = random_case(seed, pods=pods)
    _, model = model_of(case, f"gamma={gamma}")
    whole, part = int(gamma), gamma - int(gamma)
    extreme = []
    for order in itertools.permutations(range(pods)):
        size = np.zeros(pods)
        size[list(order[:whole])] = 1.0
        if whole < pods:
            size[order[whole]] = part
        extreme.append(size)
    sizes = np.unique(np.array(extreme), axis=0)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=pods)))
    loads = (sizes[:, None, :] * signs[None, :, :]).reshape(-1, pods) * Feeder(case).bands()
    directions = np.exp(2j * np.pi / 7 * np.arange(7))
    for k, points in enumerate(phasors(case, loads)):
        along = (directions.conj()[:, None] * points).real.max(axis=1)
        ours = (directions.conj() * model.base[k]).real + model.margins(k, directions)
        assert ours == pytest.approx(along, abs=1e-9)
        assert abs(model.farthest(k, np.zeros(pods))[0]) == pytest.approx(
            np.abs(points).max(), rel=1e-6
        )


@settings(max_examples=examples(20))
@given(SEEDS, st.integers(2, 5), st.floats(0.1, 2.0))
def test_margins_of_an_ellipsoid_are_reached_and_never_exceeded(seed, pods, radius):
    case = random_case(seed, pods=pods) | {"correlation": 0.3}
    _, model = model_of(case, f"ellipsoid={radius}")
    rng = np.random.default_rng(seed)
    covariance = np.full((pods, pods), 0.3) + 0.7 * np.eye(pods)
    on_sphere = rng.normal(size=(500, pods))
    on_sphere *= radius / np.linalg.norm(on_sphere, axis=1, keepdims=True)
    deviations = on_sphere @ np.linalg.cholesky(covariance).T
    for k in range(len(model.base)):
        points = model.base[k] + deviations @ model.by_deviation[k]
        assert np.abs(points).max() <= abs(model.farthest(k, np.zeros(pods))[0]) + 1e-12
        (margin,) = model.margins(k, np.array([1.0 + 0.0j]))
        own = model.by_deviation[k].real
        assert margin == pytest.approx(radius * np.sqrt(own @ covariance @ own), abs=1e-12)


@given(st.integers(3, 200), st.floats(0.0, 6.28), st.floats(0.0, 2.0))
def test_planes_inside_a_circle_allow_no_more_than_it_and_those_that_touch_it_no_less(
    planes, angle, size
):
    point = size * np.exp(1j * angle)

    def allowed(polygon):
        return bool(((polygon.directions.conj() * point).real <= polygon.distances + 1e-12).all())

    fine = Polygon.fine_around(planes, angle)
    for inside in (Polygon.regular(planes), fine):
        assert not allowed(inside) or size <= 1.0 + 1e-12
    assert size > 1.0 - 2e-5 or allowed(fine)
    assert size > np.cos(np.pi / planes) or allowed(Polygon.regular(planes))
    around = Polygon.touching(planes)
    assert size > 1.0 or allowed(around)
    assert allowed(around.touching_at(angle)) == (size <= 1.0 + 1e-12)


def test_the_planes_are_those_of_the_published_formula():
    t = 2 * np.pi / 32
    n = np.arange(1, 33)
    a = np.sin((n - 1) * t) - np.sin(n * t)
    b = np.cos(n * t) - np.cos((n - 1) * t)
    c = np.cos(n * t) * np.sin((n - 1) * t) - np.cos((n - 1) * t) * np.sin(n * t)
    polygon = Polygon.regular(32)
    assert a / c == pytest.approx(polygon.directions.real / polygon.distances, abs=1e-12)
    assert b / c == pytest.approx(polygon.directions.imag / polygon.distances, abs=1e-12)


def test_a_resource_that_injects_deviates_with_the_others_of_an_ellipsoid():
    """Deviations inject when positive: correlated loads and generators relieve each other."""
    case = random_case(3, pods=2, offers=False) | {"correlation": 1.0}
    case["pods"][0].update(p_kw=1.0, q_kvar=0.1)
    case["pods"][1].update(p_kw=-1.0, q_kvar=0.1)
    power = loaded(case).problem("a", SetChoice.parse("ellipsoid")).forecast.deviations.power_pu
    assert (power.sum(axis=0).real > 0.0).all()
