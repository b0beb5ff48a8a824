"""Encoded pictures to uint8 RGB on a canvas. Pillow and numpy only: the service imports it, and it never imports torch."""
