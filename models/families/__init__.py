"""Every kind of model that shops use on behaviour data, a file each, with one interface: fit, predict, step, export.

What a model learns from decides which of the three interfaces it has (interface.py):

    TableModel   rows of numbers ─► P(label)          logistic, svm, ridge, boosting, dnn, ensemble, calibrated, parted
    Ranker       item sessions ─► a score per item    popularity, markov, vsknn, gru4rec, sasrec, blend
    Trunk        a shopper's events ─► what the heads of IntentNetwork read (network.py)
                                                      lstm, gru, rnn, tcn, transformer
    counts       purchase histories ─► purchases      bgnbd

Deep ones are torch, library models are their library's. `step` is there where a model can carry its state from event to
event. What is exported is safetensors and JSON, or the library's own text; never a pickle.
"""
