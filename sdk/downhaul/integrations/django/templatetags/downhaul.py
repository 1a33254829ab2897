"""`{% load downhaul %}`: the flag functions in Django's templates.

{% if "new-checkout"|flag %} ... {% endif %}
{% flag "new-checkout" plan="pro" as is_new %}{% if is_new %} ... {% endif %}
{% flag_value "button-colour" "blue" %}
"""

from __future__ import annotations

from typing import Any

from django import template

from downhaul.flags import client

register = template.Library()


@register.simple_tag(name="flag")
def flag_tag(name: str, default: bool = False, **context: Any) -> bool:
    """Whether a boolean flag is on."""
    return client.enabled(name, default, **context)


@register.simple_tag(name="flag_value")
def flag_value_tag(name: str, default: Any = None, **context: Any) -> Any:
    """The value of a flag of any type."""
    return client.value(name, default, **context)


@register.filter(name="flag")
def flag_filter(name: str, default: bool = False) -> bool:
    """Whether a boolean flag is on, in the one form that `{% if %}` takes."""
    return client.enabled(name, default)


@register.filter(name="flag_value")
def flag_value_filter(name: str, default: Any = None) -> Any:
    """The value of a flag of any type, as a filter."""
    return client.value(name, default)
