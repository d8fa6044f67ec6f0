"""The walk-through: a U-Net learns to segment real nuclei, and every sample of it is watched."""
