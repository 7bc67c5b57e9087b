"""How many CPU processes one GPU can serve: the model, its figures, and the command ``hepbench sonic``."""
