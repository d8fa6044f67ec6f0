"""The walk-through: a U-Net learns to segment real nuclei, and every sample of it is watched."""

# Batches that the demo learns from, unless told otherwise: about a minute on one core. Here because
# the command line must not import `train`, and with it torch, to know it.
STEPS = 400
