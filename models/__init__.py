"""Features, networks, engines and releases: everything between a packed event and a score. Imports nothing
from streams."""
