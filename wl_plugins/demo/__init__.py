"""The walk-throughs: a U-Net learns to segment real nuclei, and every sample of it is watched; a
small network learns digits of which some have a wrong label, and wl says which.
"""

# Batches that the demo learns from, unless told otherwise: about a minute on one core. Here because
# the command line must not import `train`, and with it torch, to know it.
STEPS = 400

# Of the mislabel demo: passes over the digits, and the share of their labels that is made wrong.
EPOCHS = 30
NOISE = 0.2
