"""The way from pictures to proposals on a CPU, without torch: what a network scored, selected in NumPy.

Importing torch takes seconds and half a gigabyte, so nothing here does. Shapes are those of `model.network`; of boxes
that compete there may be planes, float32 (4, K), since NumPy is quick along the last axis.
"""
