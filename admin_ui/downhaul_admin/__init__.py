"""The pages for people. They call services, as the API does, and never import the store or the API."""

from downhaul_admin.blueprint import create_blueprint
from downhaul_admin.errorpages import for_people

__all__ = ["create_blueprint", "for_people"]
