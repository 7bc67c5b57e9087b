"""What the machine offers and what it did during a run."""
