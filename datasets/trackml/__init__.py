"""Tracking events on the TrackML detector: generated, or from TrackML's files."""
