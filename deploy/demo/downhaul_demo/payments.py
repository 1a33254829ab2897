"""The payments microservice: which ledger books a payment, and why. Run by `microservice.command`."""

from __future__ import annotations

from typing import Any

from downhaul import flags
from flask import Flask, Response, jsonify, make_response, render_template, request

from downhaul_demo.pages import CUSTOMERS, attributes, customer, process

AMOUNT = 102.6

app = Flask(__name__)


@app.get("/")
def payment() -> Response:
    """The decisions about one payment; `?customer=` chooses whose."""
    name = customer(request.args.get("customer"))
    page = render_template(
        "payments.html", decisions=_decisions(name), customer=name, customers=tuple(CUSTOMERS), process=process()
    )
    return make_response(page, {"Cache-Control": "no-store"})


@app.get("/decisions")
def decisions() -> Response:
    """The same as JSON: `{process: {pid, revision}, decisions: {flag: {value, variant, reason}}}`."""
    name = customer(request.args.get("customer"))
    return jsonify(process=process(), decisions=_decisions(name))


def _decisions(name: str) -> dict[str, dict[str, Any]]:
    with flags.context(**attributes(name), amount=AMOUNT):
        found = {key: flags.explain(key) for key in ("new-ledger", "fraud-model", "retry-policy", "refund-by-customer")}
    return {key: {"value": why.value, "variant": why.variant, "reason": why.reason} for key, why in found.items()}
