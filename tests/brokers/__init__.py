"""Real brokers for tests and benchmarks, each a context manager with a `.bootstrap` address.

Kafka (KRaft, jars by Maven), SecureKafka (SASL_SSL, SCRAM, ACLs), Noida (the embedded broker of the demo) and Apicurio
(a schema registry). They start as child processes and leave nothing running or on disk. `bench/` imports them too.
"""


class Unavailable(Exception):
    """A program that a broker needs is not on this machine; the message says which and how to get it."""


class NotStarted(Exception):
    """A broker's process ended or did not answer in time; the message ends with the tail of its log."""
