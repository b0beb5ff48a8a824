"""The service's commands, one module each."""
