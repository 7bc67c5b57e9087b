"""The program of a container image."""
