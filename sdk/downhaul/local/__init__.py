"""A file of flags in place of a service, for development: read strictly, evaluated by the engine, reloaded when saved.

Nothing here knows of the network. Only `worker` loads it, and only where a file is named.
"""
