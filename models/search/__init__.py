"""Searches for the best recipe: grid, random or Bayesian, pruned, resumable, within a budget.

    space.py    what is tried, from a YAML file
    plan.py     how: method, pruner, budget
    study.py    the study, kept in SQLite from its first trial on: a search that is killed goes on where it was
    trials.py   asks for trials and trains them
    found.py    what came of it, the best recipe as a file

What is compared is the loss on held-out shoppers of the training interval; the time that a release is judged on is never
looked at.
"""
