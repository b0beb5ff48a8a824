"""What a user runs to see speed and cost: ``make bench``. Everything is a ratio within one run."""
