"""Screens: what a person sees at once, and the keys that act on it."""
