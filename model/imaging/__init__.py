"""Encoded pictures to uint8 RGB on a canvas. Pillow and numpy only, no torch: the service imports it."""
