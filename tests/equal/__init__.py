"""The frameworks come to the same loss and gradients, see ``test_equal.py``."""
