"""What campaigns brought: who got something against who, by chance alone, did not. Pure numpy; nothing is sent or learnt.

assigned.py    decisions and outcomes ─► one row per shopper, by what chance gave the shopper
margin.py      margin of an outcome after its costs
difference.py  differences of means and ratios with 95 % intervals, sharpened by what shoppers did before (CUPED)
sequential.py  intervals that hold however often somebody looks
balance.py     are the groups as large as chance makes them? (SRM)
judged.py      the comparisons: hold-out, experiments' arms, deciles of what was predicted
weighed.py     arms that are learnt, by the chance that each moment had
report.py      all of it as JSON, and (html.py, plots.py) as a page
"""
