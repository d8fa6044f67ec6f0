"""Sphinx: what `make docs` builds. Nothing is fetched from the network, now or by a reader."""

from __future__ import annotations

from importlib import metadata

project = "wl"
author = "The wl authors"
copyright = "2026, The wl authors"  # noqa: A001 - Sphinx's name for it
release = metadata.version("wl")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "A PyTorch training run that explains itself.",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_show_sourcelink = False

# Docstrings put code in single backquotes, as people do in plain text.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
myst_heading_anchors = 3
