"""The real hep-score, and the suite around it, against our images: ``make hepscore``."""
