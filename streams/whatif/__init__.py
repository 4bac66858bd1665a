"""What another policy would have done, and would have earned, from what the archive holds of the past. Nothing is sent.

    past.py       the archive again as what `decide` is given: events, predictions, what was said, what had been sent
    replayed.py   the decisions of a policy over that past, by the real `decide` and a contact book of its own
    changes.py    how two policies' decisions differ: counts, and shopper by shopper
    rounds.py     moments at which chance decided whether a campaign acted, with what was then earned
    earned.py     off-policy estimates from them (models/ope), refused in words where nothing was tried

Only Parquet files are read here; nothing here, however far down, imports a producer or the transaction.
"""
