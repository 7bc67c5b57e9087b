"""One command that measures a machine with a GPU: ``make gpu-check``.

It needs no network and no TensorFlow, only JAX, PyTorch and a folder of wheels (``wheels.py``). Its parts
have a fixed order (``parts.py``). They start ``hepbench run`` in processes of its own (``check.py``), and
what a part finds is written when it ends. ``table.py`` makes the table at the end.
"""
