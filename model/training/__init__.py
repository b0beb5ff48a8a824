"""Training: data sets, augmentation, anchor assignment and sampling, losses, the loop."""
