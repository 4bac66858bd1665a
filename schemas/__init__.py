"""Contracts of the pipeline: topics, Avro schemas, settings, and the way bytes become columns and back.

Imports nothing of `models` or `streams`; both import from here.
"""
