"""The same network behind other serving frameworks, each as its documentation shows it."""
