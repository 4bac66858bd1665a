"""Smaller models out of larger ones: fewer units (prune.py), a small network that learns from a large one (distil.py), and
products of 8 bits (engine_onnx.in_int8).

    intentflow replay train … --recipe small.yaml --teacher RELEASE    a student
    intentflow models prune RELEASE --sizes 32,32                      units go; then train on with --warm

bench/shrink.py shows what each costs in AUC and saves in time.
"""
