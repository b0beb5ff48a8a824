"""Evaluation: average recall of proposals against annotated boxes."""
