"""The colours of the application: calm, dark, and with enough contrast to read for hours."""

from __future__ import annotations

from textual.theme import Theme

from tui.widgets.palette import ORANGE, SKY_BLUE, YELLOW

DARK = Theme(
    name="wl-dark",
    dark=True,
    primary=SKY_BLUE,
    secondary="#8FA3B8",
    accent=ORANGE,
    warning=YELLOW,
    error="#FF7A5C",
    success="#3FC79A",
    foreground="#DDE3EA",
    background="#11161C",
    surface="#151B22",
    panel="#1F2832",
    variables={
        "state-training": "#3FC79A",
        "state-evaluating": "#3FC79A",
        "state-paused": YELLOW,
        "state-finished": SKY_BLUE,
        "state-failed": "#FF7A5C",
        "state-crashed": "#FF7A5C",
        "footer-background": "#1F2832",
        "footer-key-foreground": SKY_BLUE,
    },
)
