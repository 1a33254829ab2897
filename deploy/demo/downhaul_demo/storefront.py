"""The storefront: a service of which two versions run side by side, behind a proxy that chooses by flag.

It says which version answers, and asks two flags that are about the process and not about a user. docs/blue-green.md
tells how it is run.
"""

from __future__ import annotations

import os
from typing import Any

from downhaul import flags
from flask import Flask, Response, jsonify, make_response, request

# Before the fork, so that no process answers its first customer with defaults.
flags.wait_ready(5.0)

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def home() -> Response:
    """`{build, color, instance, variant, new_search, new_index, received}`; `variant`: for which the proxy has sent it
    here; `received`: bytes of the body. It has to be read: a proxy that is still sending takes an answer for a failure.
    """
    shown: dict[str, Any] = {
        "build": os.environ.get("DOWNHAUL_BUILD"),
        "color": os.environ.get("DOWNHAUL_COLOR"),
        "instance": flags.status().instance,
        "variant": request.headers.get("X-Downhaul-Variant"),
        "new_search": flags.enabled("new-search"),
        "new_index": flags.enabled("new-index"),
        "received": len(request.get_data()),
    }
    return make_response(jsonify(shown), {"Cache-Control": "no-store"})
