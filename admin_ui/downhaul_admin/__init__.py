"""The pages for people. They call services, as the API does, and never import the store or the API."""

from downhaul_admin.blueprint import create_blueprint

__all__ = ["create_blueprint"]
