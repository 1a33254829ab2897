"""The HTTP room: routes, schemas, authentication, problems, the OpenAPI document, probes and metrics.

It speaks to `services` and to nobody else: no store, no Redis, no rules of what a flag is.
"""
