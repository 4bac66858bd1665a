"""Bandits: which of a few actions to take with a shopper, learnt from what taking them earned.

interface.py  what every bandit does; choices drawn from probabilities, a floor of exploration
posterior.py  what rewards told of each action's weights: sums that take feedback late, in any order, in any batches
policies.py   Thompson sampling, LinUCB, greedy, uniform
ready.py      a bandit made ready for one context at a time
stored.py     a bandit as JSON, and back

probabilities ─► choose ─► act, log the propensity ─► the reward is known, hours or weeks later ─► learn
"""
