"""Where everything lies in Redis. One hash tag, so that on a Cluster all of it is in one slot and a script may see it all.

| key | type | holds |
|---|---|---|
| `{downhaul}:meta` | hash | `schema`, `epoch`, `revision`, `chain` (hash of the last entry), `succeeds` (epochs that this one follows by an operator's decision, newest first), `lost` (a revision of this epoch that a server has served and Redis lacks: nobody commits before an operator has decided), `origin` and `origin_chain` (the first entry that the log ever had, and the chain before it) |
| `{downhaul}:docs` | hash | address -> JSON text |
| `{downhaul}:versions` | hash | address -> revision of the last change |
| `{downhaul}:touched` | hash | `service@environment` (`*` for all) -> revision of the last commit that affects it |
| `{downhaul}:log` | stream | `<revision>-0` -> `at` (ms), `digest`, `chain`, `body` |
| `{downhaul}:op:<operation>` | hash, expires | `fingerprint`, `revision`, `at`, `result` |

Beside the store, of the fleet; no script sees it, and none of it is needed to serve:

| key | type | holds |
|---|---|---|
| `{downhaul}:fleets` | set | `service@environment` that has, or had, instances |
| `{downhaul}:fleet:<service>@<environment>` | hash, expires | process -> what is known of it, as a JSON list |
| `{downhaul}:counts:<service>@<environment>:<period>` | hash, expires | `flag variant` -> evaluations; period: `h<hours since 1970>`, `d<days since 1970>` |
| `{downhaul}:deaf` | set | `service@environment/process` that was logged as deaf |
| `{downhaul}:drills` | hash | `service@environment` -> result of its last drill; `@<environment>` -> when the last one began |
| `{downhaul}:hooks` | hash | id of a webhook -> how far it has come in the log, and how it fares |
| `{downhaul}:hook-secrets` | hash | id of a webhook -> its secrets |
| `{downhaul}:hook-deliveries:<id>` | list, expires | its last deliveries, newest first |
| `{downhaul}:lease:<name>` | string, expires | who may do what only one may do |
| `{downhaul}:used` | hash | id of a token or a kill link -> when it was used last |
| `{downhaul}:sessions` | hash | sha256 of a session's id -> whose it is, since when, and from where |
| `{downhaul}:sign-in:<digest>` | string, expires | what has to be known when somebody comes back from the provider of identities |
| `{downhaul}:refusals` | stream | refused attempts: `<number>-0` -> `at` (ms), `digest`, `chain`, `body` |
| `{downhaul}:refusals:meta` | hash | `number`, `chain`, `origin`, `origin_chain` of that log, and how many of each kind came in `minute` |
| `{downhaul}:restore:<part>` | as its part, expires | a part of a backup, until all of it is there |
| `{downhaul}:news` | channel | batches of what changed in the fleet |
"""  # noqa: E501 - a table

from __future__ import annotations

SCHEMA = 1
"""Of the layout above. A store with a higher one was written by a newer release, and is left alone."""

META = "{downhaul}:meta"
DOCS = "{downhaul}:docs"
VERSIONS = "{downhaul}:versions"
TOUCHED = "{downhaul}:touched"
LOG = "{downhaul}:log"

EVERYTHING = (META, DOCS, VERSIONS, TOUCHED, LOG)
"""In the order in which every script takes them."""

OPERATION_TTL_S = 24 * 3600


def operation_key(operation: str) -> str:
    """Where the answer to this operation is kept."""
    return f"{{downhaul}}:op:{operation}"


def touch_field(service: str, environment: str) -> str:
    """Field of TOUCHED; neither part can hold an `@`."""
    return f"{service}@{environment}"


def log_id(revision: int) -> str:
    """Id of the log entry of a revision."""
    return f"{revision}-0"


REFUSALS = "{downhaul}:refusals"
REFUSALS_META = "{downhaul}:refusals:meta"
FLEETS = "{downhaul}:fleets"
NEWS = "{downhaul}:news"
DEAF = "{downhaul}:deaf"
DRILLS = "{downhaul}:drills"
HOOK_STATES = "{downhaul}:hooks"
HOOK_SECRETS = "{downhaul}:hook-secrets"
SESSIONS = "{downhaul}:sessions"
USED = "{downhaul}:used"


def fleet_key(group: str) -> str:
    """Where the instances of a `service@environment` lie."""
    return f"{{downhaul}}:fleet:{group}"


def counts_key(group: str, period: str) -> str:
    """Where the evaluations of a `service@environment` in a period (`h489123`, `d20380`) lie."""
    return f"{{downhaul}}:counts:{group}:{period}"


def hook_deliveries_key(hook: str) -> str:
    """Where the last deliveries of a webhook lie."""
    return f"{{downhaul}}:hook-deliveries:{hook}"


def lease_key(name: str) -> str:
    """Who holds this lease."""
    return f"{{downhaul}}:lease:{name}"


def sign_in_key(digest: str) -> str:
    """Where a log-in lies that the provider of identities has not answered yet."""
    return f"{{downhaul}}:sign-in:{digest}"


def waiting_key(part: str) -> str:
    """Where a part of a backup waits until all of it is there."""
    return f"{{downhaul}}:restore:{part}"
