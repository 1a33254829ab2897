"""What the service can do, in its own words: flags, kills, segments, keys, history, snapshots. Never HTTP, never Redis.

Callers hold a `container.Services` and get plain dicts in the form of the API; what goes wrong is a `ServiceError`.
"""
