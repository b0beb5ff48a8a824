"""The report: one HTML file with everything inside, which opens without a network."""
