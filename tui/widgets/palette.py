"""Colours that most colour-blind readers can tell apart, and the letters that stand for them.

The colours are those of Okabe and Ito, "Color Universal Design" (2008), without the black, and
ordered so that the first ones are clear on a dark ground. No meaning is carried by colour alone:
where there is none (NO_COLOR), `letter` names a series.
"""

from __future__ import annotations

SKY_BLUE = "#56B4E9"
ORANGE = "#E69F00"
GREEN = "#009E73"
YELLOW = "#F0E442"
PURPLE = "#CC79A7"
VERMILION = "#D55E00"
BLUE = "#0072B2"
GREY = "#999999"
SERIES = (SKY_BLUE, ORANGE, GREEN, PURPLE, YELLOW, VERMILION, GREY, BLUE)


def series_colour(index: int) -> str:
    """The colour of the ``index``-th series; they repeat after eight."""
    return SERIES[index % len(SERIES)]


def letter(index: int) -> str:
    """The letter of the ``index``-th series: a, b, c, …"""
    return chr(ord("a") + index % 26)
