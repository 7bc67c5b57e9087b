"""A finished run in, what HEPscore reads out."""
