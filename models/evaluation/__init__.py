"""Holds what predictors said against what came: one report for releases, for the demo and for an engineer's own models.

rows and what each predictor said of them (asked.py) ─► figures (models/metrics.py) with intervals over shoppers
(bootstrap.py), differences, slices, calibration before and after ─► judged.py ─► tables.py, html.py with plots.py

Nothing here reads events: models/replay/evaluate.py makes the rows. leakage.py asks whether a set is fit to be judged.
"""
