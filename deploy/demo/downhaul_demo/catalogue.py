"""What the demonstration holds: services, segments and flags, as the API takes them."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

SERVICES: dict[str, str] = {"payments": "Payments", "checkout": "Checkout", "search": "Search"}
"""Key -> name, in the order in which their flags are made: a flag comes after those that it requires."""

SEGMENTS: tuple[Document, ...] = (
    {
        "key": "beta",
        "name": "Beta testers",
        "when": {
            "any": [
                {"attribute": "user", "op": "in", "values": ["ada", "grace", "linus"]},
                {"attribute": "beta", "op": "in", "values": [True]},
            ]
        },
    },
    {
        "key": "employees",
        "name": "Employees",
        "when": {"attribute": "email", "op": "ends_with", "values": ["@example.com"]},
    },
)


def _split(**percent: int) -> Document:
    """A split by user: `_split(on=25, off=75)`."""
    weights = [{"variant": variant, "weight": share * 1000} for variant, share in percent.items()]
    return {"split": weights, "by": "user"}


def _rule(name: str, when: Document, variant: str) -> Document:
    return {"name": name, "when": when, "serve": {"variant": variant}}


BETA = _rule("beta testers", {"segment": "beta"}, "on")
EMPLOYEES = _rule("employees", {"segment": "employees"}, "on")
ON: Document = {"on": True, "rules": [], "otherwise": {"variant": "on"}}

PAYMENTS: tuple[Document, ...] = (
    {
        "key": "new-ledger",
        "type": "boolean",
        "description": "Book payments in the new ledger",
        "owner": "team-payments",
        "purpose": "release",
        "tags": ["ledger"],
        "environments": {"production": ON, "staging": ON},
    },
    {
        "key": "fraud-model",
        "type": "string",
        "description": "Which model scores a payment",
        "owner": "team-risk",
        "purpose": "experiment",
        "tags": ["risk"],
        "variants": {"rules": "rules-2024", "boosted": "boosted-7", "off": "none"},
        "off_variant": "off",
        "environments": {
            "production": {
                "on": True,
                "rules": [
                    _rule("large amounts", {"attribute": "amount", "op": "gte", "values": [500]}, "boosted"),
                ],
                "otherwise": _split(rules=80, boosted=20),
            },
            "staging": {"on": True, "rules": [], "otherwise": {"variant": "boosted"}},
        },
    },
    {
        "key": "retry-policy",
        "type": "json",
        "description": "How a payment that the bank did not answer is tried again",
        "owner": "team-payments",
        "purpose": "ops",
        "tags": ["bank"],
        "variants": {
            "gentle": {"attempts": 2, "pause_ms": 2000},
            "eager": {"attempts": 5, "pause_ms": 250},
            "never": {"attempts": 0, "pause_ms": 0},
        },
        "off_variant": "never",
        "environments": {
            "production": {"on": True, "rules": [], "otherwise": {"variant": "gentle"}},
            "staging": {"on": True, "rules": [], "otherwise": {"variant": "eager"}},
        },
    },
    {
        "key": "refund-by-customer",
        "type": "boolean",
        "description": "Who may refund a payment without asking support",
        "owner": "team-payments",
        "purpose": "permission",
        "tags": ["support"],
        "environments": {
            "production": {"on": True, "rules": [EMPLOYEES], "otherwise": {"variant": "off"}},
            "staging": ON,
        },
    },
)

CHECKOUT: tuple[Document, ...] = (
    {
        "key": "new-checkout",
        "type": "boolean",
        "description": "One-page checkout with express pay",
        "owner": "team-checkout",
        "purpose": "release",
        "tags": ["checkout"],
        "expires": "2027-06-30",
        "environments": {"production": {**ON, "rules": [BETA]}, "staging": ON},
    },
    {
        "key": "instalments",
        "type": "boolean",
        "description": "Pay in three instalments; needs the new ledger of payments",
        "owner": "team-checkout",
        "purpose": "release",
        "tags": ["checkout", "ledger"],
        "requires": [{"flag": "payments/new-ledger", "variants": ["on"]}],
        "environments": {
            "production": {"on": True, "rules": [BETA], "otherwise": _split(on=25, off=75)},
            "staging": ON,
        },
    },
    {
        "key": "button-colour",
        "type": "string",
        "description": "Does a green button sell more?",
        "owner": "team-growth",
        "purpose": "experiment",
        "tags": ["growth"],
        "variants": {"blue": "blue", "green": "green"},
        "off_variant": "blue",
        "environments": {
            "production": {"on": True, "rules": [], "otherwise": _split(blue=50, green=50)},
        },
    },
    {
        "key": "free-shipping-from",
        "type": "number",
        "description": "Shipping is free from this amount on",
        "owner": "team-growth",
        "purpose": "ops",
        "tags": ["growth"],
        "variants": {"usual": 120, "campaign": 35},
        "off_variant": "usual",
        "environments": {
            "production": {
                "on": True,
                "rules": [
                    _rule(
                        "autumn campaign",
                        {"attribute": "country", "op": "in", "values": ["DE", "AT", "CH"]},
                        "campaign",
                    ),
                ],
                "otherwise": {"variant": "usual"},
            },
        },
    },
    {
        "key": "maintenance-notice",
        "type": "boolean",
        "description": "Tell customers that orders may be slow",
        "owner": "team-checkout",
        "purpose": "ops",
        "tags": ["checkout"],
    },
)

SEARCH: tuple[Document, ...] = (
    {
        "key": "ranker",
        "type": "string",
        "description": "How results are ranked",
        "owner": "team-search",
        "purpose": "experiment",
        "tags": ["ranking"],
        "variants": {"classic": "bm25", "neural": "neural-3"},
        "off_variant": "classic",
        "environments": {
            "production": {
                "on": True,
                "rules": [
                    {
                        "name": "pro customers on new builds",
                        "when": {
                            "all": [
                                {"attribute": "plan", "op": "in", "values": ["pro"]},
                                {"attribute": "build", "op": "semver_gte", "values": ["2.1.0"]},
                            ]
                        },
                        "serve": _split(neural=50, classic=50),
                    },
                ],
                "otherwise": _split(classic=90, neural=10),
            },
        },
    },
    {
        "key": "suggestions",
        "type": "boolean",
        "description": "Suggest while typing",
        "owner": "team-search",
        "purpose": "release",
        "tags": ["typing"],
        "environments": {
            "production": {"on": True, "rules": [BETA], "otherwise": _split(on=25, off=75)},
            "staging": ON,
        },
    },
    {
        "key": "results-per-page",
        "type": "number",
        "description": "How many results a page shows",
        "owner": "team-search",
        "purpose": "ops",
        "tags": ["load"],
        "variants": {"many": 48, "few": 12},
        "off_variant": "few",
        "environments": {"production": {"on": True, "rules": [], "otherwise": {"variant": "many"}}},
    },
    {
        "key": "semantic-index",
        "type": "boolean",
        "description": "Answer from the semantic index",
        "owner": "team-search",
        "purpose": "permission",
        "tags": ["ranking"],
        "environments": {
            "production": {"on": True, "rules": [EMPLOYEES], "otherwise": {"variant": "off"}},
        },
    },
)

FLAGS: dict[str, tuple[Document, ...]] = {"payments": PAYMENTS, "checkout": CHECKOUT, "search": SEARCH}
"""Service -> its flags."""
