"""Drift: is what a release sees and says still what it saw and said in training, and does it still come true?

reference.py    what training saw, written beside the weights of a release (reference.json)
psi.py, ks.py   one column against its reference
calibration.py  predictions whose horizon has ended against what happened
adwin.py        when the mean of a series changed
measure.py      all of it, as one Drift
record.py       the Drift as a record of the topic model-drift and as Prometheus metrics
"""
