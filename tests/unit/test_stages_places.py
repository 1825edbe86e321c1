"""Degrees to places, by the real data."""

from __future__ import annotations

import pytest

from lakewatchd.stages.places import NOWHERE, Gazetteer, Place

PLACES = {
    (48.8584, 2.2945): Place("France", "Paris", "Europe/Paris"),  # the tower stands in a quarter
    (48.8049, 2.1204): Place("France", "Versailles", "Europe/Paris"),  # no quarter of its neighbour
    (47.3719, 8.5404): Place("Switzerland", "Zürich", "Europe/Zurich"),
    (46.6242, 8.0414): Place("Switzerland", "Grindelwald", "Europe/Zurich"),  # four thousand people
    (47.5850, 7.5600): Place("France", "Saint-Louis", "Europe/Paris"),  # Basel is larger, and across the border
    (40.7580, -73.9855): Place("United States", "New York City", "America/New_York"),
    (-23.5500, -46.6300): Place("Brazil", "São Paulo", "America/Sao_Paulo"),
    (35.6710, 139.7670): Place("Japan", "Tokyo", "Asia/Tokyo"),
    (43.6000, 7.3000): Place("France", "Nice", "Europe/Paris"),  # a boat off the beach
    (23.4162, 25.6628): Place("Egypt", "", "Africa/Cairo"),  # a desert
    (42.5000, 7.5000): Place("", "", "Etc/GMT-1"),  # the open sea
    (91.0, 0.0): NOWHERE,
    (float("nan"), 0.0): NOWHERE,
}


@pytest.fixture(scope="module")
def gazetteer() -> Gazetteer:
    return Gazetteer()


@pytest.mark.parametrize(("at", "expected"), PLACES.items(), ids=str)
def test_places(gazetteer: Gazetteer, at: tuple[float, float], expected: Place) -> None:
    assert gazetteer.at(*at) == expected


@pytest.mark.parametrize("at", [(90.0, 0.0), (-90.0, 180.0), (0.0, 180.0), (0.0, -180.0), (-16.5, 179.99)])
def test_the_edges_of_the_map(gazetteer: Gazetteer, at: tuple[float, float]) -> None:
    assert gazetteer.at(*at).zone
