"""The colours of the application: calm, with enough contrast to read for hours, on any terminal.

Three themes of its own beside Textual's, of which ``ansi-dark`` and ``ansi-light`` use nothing but
the 16 colours that the terminal's owner has chosen. What colours say is always said in words or
signs as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

from tui.widgets.palette import ORANGE, SKY_BLUE, YELLOW

# Of themes that do not name them: Textual's own, and whoever's.
STATE_COLOURS: Mapping[str, str] = {
    "state-training": "$success",
    "state-evaluating": "$success",
    "state-paused": "$warning",
    "state-finished": "$primary",
    "state-failed": "$error",
    "state-crashed": "$error",
}

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
    variables={"footer-background": "#1F2832", "footer-key-foreground": SKY_BLUE},
)

LIGHT = Theme(
    name="wl-light",
    dark=False,
    primary="#005A94",
    secondary="#4A6076",
    accent="#A84300",
    warning="#7A5B00",
    error="#B3261E",
    success="#00694B",
    foreground="#1B2530",
    background="#FBFCFD",
    surface="#F1F4F7",
    panel="#DFE6EC",
    variables={"footer-background": "#DFE6EC", "footer-key-foreground": "#005A94"},
)

HIGH_CONTRAST = Theme(
    name="wl-contrast",
    dark=True,
    primary="#00E5FF",
    secondary="#FFFFFF",
    accent="#FFB000",
    warning="#FFFF00",
    error="#FF8080",
    success="#00FF90",
    foreground="#FFFFFF",
    background="#000000",
    surface="#000000",
    panel="#303030",
    variables={"footer-background": "#303030", "footer-key-foreground": "#00E5FF"},
)

THEMES = (DARK, LIGHT, HIGH_CONTRAST)
