"""Measurements. Each is a program, `make bench-<name>`, that starts what it needs and leaves nothing behind.

    pipeline   one worker on a real Kafka: events/s, time per stage, latency; beside it plain Faust (peers/)
    peers      the same job by plain Faust, Kafka Streams, Quix Streams, Bytewax and PyFlink
    floor      the worker against a program that does only what nobody can leave out
    latency    from due to readable at 10, 50 and 80 % of saturation, for both guarantees
    deciding   what the policy adds to an event: candidates and decisions, without Kafka
    growth     shoppers, events per shopper, partitions, workers, checkpoint interval
    recovery   changelog reading, redo, takeover by a warm copy
    soak       five million events: memory and files stay flat
    memory     one worker with a million shoppers
    serving    every kind of trunk: a step with carried state against a window of 50 events
    shrink     smaller models: what they cost in AUC and save in time
    gpu        the torch engine on a GPU, against cuDNN's LSTM and ONNX Runtime; without a GPU it says so and ends with 2
    honesty    the effect report against a made-up shop's true effects (make bench-report)
    models     every model family on real data, against published results, into docs/models.md (models/)
    loop       a learner in a closed loop on made-up shoppers, beside an oracle and habits
    realism    the made-up shop beside real logs, and how hard its questions are
    page       makes docs/performance.md from bench/results/

Every measurement writes bench/results/<name>.json, prints it, and ends with 1 when a bar does not hold (report.py).
FAST=1 makes a short run that only shows that everything works; its figures, and those of a run with options of its
own (`python -m bench.pipeline --help`), go to .intentflow/bench/ and are no results.
"""
