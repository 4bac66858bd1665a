"""`make bench-models`: every model family against published results, on real data, with the protocols of those results.

A row is a data set: `<row>.py` says how it is split and scored, `<row>.yaml` holds its parameters: what was published,
the bars, and the settings of every model, so that a figure can be made again from that one file.

    make bench-models                all rows, into bench/results/models.json and docs/models.md
    make bench-models ONLY=cdnow     one row (or several, with blanks between); the others keep their figures

Data is read from ../shared/data (or INTENTFLOW_DATA); a row whose data is absent is skipped and says so. FAST=1 shows
in a minute that a row works, with figures that are no results.
"""
