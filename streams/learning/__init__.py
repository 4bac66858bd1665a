"""Campaigns whose arms are learnt: what deciding and learning share, and the agent that learns.

context.py  numbers of a moment, from what a decision logs of it
state.py    what was learnt of a campaign, as a record of the topic bandits
dealing.py  draws the arm of a moment, by what was learnt or by the policy's shares
learner.py  outcomes into states; pure
policies.py what the versions of a policy offered
agent.py    `intentflow learn`: the topics outcomes and bandits, exactly once
"""
