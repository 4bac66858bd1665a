"""Off-policy evaluation: what another policy would have earned, from what this one logged.

    log.py         logged rounds, checked; overlap of a policy with them: weights, ESS, refusal below a stated one
    rewards.py     models of rewards by action, cross-fitted
    estimators.py  IPS, SNIPS, DM, DR, Switch-DR: value with a 95 % interval, and differences of policies, paired
    synthetic.py   a bandit whose policies have known values, to hold estimators against

A target policy is a matrix (N, A): the chance of each action in each logged round.
"""
