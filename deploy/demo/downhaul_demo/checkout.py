"""The checkout microservice: a shop page of which a part hangs on a flag. Run by `microservice.command`."""

from __future__ import annotations

from downhaul import flags
from flask import Flask, Response, make_response, render_template, request

from downhaul_demo.pages import CUSTOMERS, attributes, customer, process

CART = (("Sailing gloves, full finger", 2, 24.5), ("Halyard, 8 mm, 30 m", 1, 38.0), ("Shackle, stainless", 4, 3.9))
SHIPPING = 5.9

app = Flask(__name__)


@app.get("/")
def cart() -> Response:
    """The cart; `?customer=` chooses who looks at it."""
    name = customer(request.args.get("customer"))
    with flags.context(**attributes(name)):
        total = sum(count * price for _, count, price in CART)
        free_from = flags.value("free-shipping-from", default=120)
        page = render_template(
            "checkout.html",
            cart=CART,
            total=total,
            shipping=0 if total >= free_from else SHIPPING,
            free_from=free_from,
            express=flags.enabled("new-checkout"),
            instalments=flags.enabled("instalments"),
            notice=flags.enabled("maintenance-notice"),
            colour=flags.value("button-colour", default="blue"),
            why=flags.explain("new-checkout"),
            customer=name,
            customers=tuple(CUSTOMERS),
            process=process(),
        )
    return make_response(page, {"Cache-Control": "no-store"})
