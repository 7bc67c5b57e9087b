"""Results as one page that opens from disk: scores, charts, physics plots, and how to repeat them."""
