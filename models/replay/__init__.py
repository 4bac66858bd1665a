"""The replay job: reads what was archived or retained, builds training sets, trains, evaluates, releases, backfills.

A program of its own (`python -m models.replay`): it can send nothing to a shopper, because it imports nothing of streams.
"""
