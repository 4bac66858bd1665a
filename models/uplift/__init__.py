"""Uplift: what an action changes for a shopper, learnt from a randomised trial.

trial.py     a trial's rows, checked: inputs, who was treated, what came of it, the chance of treatment
learners.py  S, T, X, DR and transformed outcome: ─► expected effect of the action, per shopper
baselines.py what they have to beat: the response model and chance; and the mean of several learners
choice.py    which of several learners, by Qini on folds of the training data
arms.py      several actions against one control ─► effects (N, actions)
measures.py  Qini, uplift of the best 10 or 30 %, calibration by decile
"""
