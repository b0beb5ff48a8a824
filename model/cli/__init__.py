"""The commands of `rpn` that need no server: each module has ``add_parser`` and ``run``."""
