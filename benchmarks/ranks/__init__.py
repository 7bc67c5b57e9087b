"""Which ranks a run has, where they meet, and how they end."""
