"""Every route of OFREP, in one blueprint with its own errors, and open to browsers of other origins."""

from __future__ import annotations

from flask import Blueprint

from downhaul_server.api.ofrep import cors, refusals
from downhaul_server.api.ofrep.evaluation import FLAG, FLAGS, evaluate_flag, evaluate_flags
from downhaul_server.api.ofrep.events import EVENTS, get_events

blueprint = Blueprint("ofrep", __name__)
refusals.register(blueprint)
cors.register(blueprint)
blueprint.post(FLAG)(evaluate_flag)
blueprint.post(FLAGS)(evaluate_flags)
blueprint.get(EVENTS)(get_events)
