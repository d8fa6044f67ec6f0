"""wl: a PyTorch training run that explains itself."""
