"""Why a model says what it says.

gradients.py    which events and features drove one shopper's score (integrated gradients over the sequence)
permutation.py  which features a model's quality rests on, over an evaluation set
trees.py        what each feature adds to a boosted tree's answer (TreeSHAP)
"""
