"""Particle-flow events in the manner of Delphes: generated, or from the public data set."""
