"""Plain transcriptions of published formulae, to check and to time the suite's models against."""
