"""Smaller models out of larger ones: fewer units (prune.py), and products of 8 bits (engine_onnx.in_int8).

What a smaller model loses can be learnt again: from the larger one's answers (`replay train --teacher`), or by going on
with its weights. bench/shrink.py shows what each costs in AUC and saves in time.
"""
