"""Graphs of hits."""
