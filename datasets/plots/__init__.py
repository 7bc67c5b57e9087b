"""Pages by which a physicist can check a data set."""
