"""Checkpoints: our own format, and what reads others'."""
