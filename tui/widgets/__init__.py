"""Widgets that know numbers, names and pixels, and nothing of runs; screens put them together."""
