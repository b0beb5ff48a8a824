"""Proposals without learning, to measure a network against."""
