"""Searches for the best recipe: grid, random or Bayesian, pruned, resumable, within a budget.

    space.py   what is tried, from a YAML file
    study.py   the trials, kept in SQLite from the first on: a search that is killed goes on where it was

What is compared is the loss on held-out shoppers of the training interval; the time that a release is judged on is never
looked at.
"""
