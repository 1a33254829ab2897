"""Shapes of what comes in and goes out, as marshmallow schemas: the only validators of shape.

What a document means (a rule's values, a reference, a cycle) is for the services and the engine to judge.
"""
