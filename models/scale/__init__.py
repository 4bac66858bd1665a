"""The replay job on Ray: `--ray ADDRESS` builds training sets, trains and searches on many machines.

Every machine runs this version of intentflow with the extra `ray`, and reaches the archive and the folder of the shards.
"""
