"""The figures of docs/how-it-works.md, drawn by the project's own code."""
