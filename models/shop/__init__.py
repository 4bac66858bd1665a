"""A shop to be wrong in: made-up shoppers whose true response to every action is known. Never real data.

    population.py  who the shoppers are: latents, what a site sees of them, chances of an order under every action
    panel.py       what they do, a shopper and a day at a time: outcomes, and the means that nobody else can know
    catalogue.py   what is sold, and whom it suits
    browsing.py    sessions event by event, in the proportions of a real log (fitted.json)

No log can show what was not done; here both worlds are computed, so that estimates can be held against the truth.
"""
