"""What is sent: Standard Webhooks' JSON, a Slack message, or an adaptive card for Teams.

Texts of people stand only where nothing is interpreted (Slack's `plain_text`, the cards' text runs), or are escaped.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from downhaul_server.services.hook_events import Event

LARGEST = 256 * 1024
"""Bytes of a body; what changed is left out where it would be more."""
LONGEST_HEADING = 150
LONGEST_TEXT = 2000
_SIGNS = {"flag.kill": "🛑 ", "drill.kill": "🛑 ", "flag.restore": "↩️ ", "drill.restore": "↩️ "}


def body_of(event: Event, form: str) -> bytes:
    """The body, in JSON."""
    return _FORMATS[form](event)


def standard(event: Event) -> bytes:
    """`{type, timestamp, data}`."""
    data: dict[str, Any] = {
        "revision": event.revision,
        "actor": event.actor,
        "reason": event.reason,
        "summary": event.headline,
        "lines": list(event.lines),
        "environments": list(event.environments),
        "documents": list(event.documents),
        "truncated": False,
        "url": event.link,
    }
    if event.details:
        data["details"] = event.details
    document = {"type": event.type, "timestamp": event.at, "data": data}
    body = _encoded(document)
    if len(body) <= LARGEST:
        return body
    short = [{**each, "changes": []} for each in event.documents[:1000]]
    return _encoded(document | {"data": data | {"documents": short, "truncated": True, "details": None}})


def slack(event: Event) -> bytes:
    """https://docs.slack.dev/messaging/formatting-message-text: a text for notifications, and blocks."""
    headline = _clean(_SIGNS.get(event.type, "") + event.headline)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(headline, LONGEST_HEADING), "emoji": False}}
    ]
    below = _below(event)
    if len(headline) > LONGEST_HEADING:
        below = [headline, *below]
    if below:
        text = _cut("\n".join(below), LONGEST_TEXT)
        blocks.append({"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}})
    about = _about(event) + (f" · <{_escaped(event.link)}|Open in Downhaul>" if event.link else "")
    element = {"type": "mrkdwn", "text": about, "verbatim": True}
    return _encoded(
        {
            "text": _escaped(_cut(headline, LONGEST_TEXT)),
            "blocks": [*blocks, {"type": "context", "elements": [element]}],
            "unfurl_links": False,
        }
    )


def teams(event: Event) -> bytes:
    """A message with an adaptive card, as the workflow "when a Teams webhook request is received" takes it."""
    headline = _clean(_SIGNS.get(event.type, "") + event.headline)
    colour = "attention" if event.type.endswith(".kill") else "default"
    body = [_run(_cut(headline, LONGEST_TEXT), size="medium", weight="bolder", color=colour)]
    body += [_run(_cut(line, LONGEST_TEXT)) for line in _below(event)]
    body.append(_run(_about(event), size="small", isSubtle=True))
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": _cut(headline, LONGEST_TEXT),
        "msteams": {"width": "Full"},
        "body": body,
    }
    if event.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open in Downhaul", "url": event.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return _encoded({"type": "message", "summary": _cut(headline, LONGEST_TEXT), "attachments": [attachment]})


def _run(text: str, **look: Any) -> dict[str, Any]:
    # A TextBlock would read Markdown, and dates in double braces, out of people's texts.
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text.replace("{{", "{ {"), **look}]}


def _below(event: Event) -> list[str]:
    reason = [f"Reason: {_clean(event.reason)}"] if event.reason else []
    return [*reason, *(_clean(line) for line in event.lines)]


def _about(event: Event) -> str:
    revision = f"revision {event.revision} · " if event.revision is not None else ""
    return f"{revision}{event.at.replace('T', ' ').partition('.')[0]} UTC"


def _clean(text: str) -> str:
    """On one line, and without what moves a cursor or turns the direction of writing."""
    flat = " ".join(text.split())
    return "".join(
        each for each in flat if unicodedata.category(each) not in ("Cc", "Cf", "Cs") or each in "\u200c\u200d"
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _escaped(text: str) -> str:
    """For Slack's mrkdwn: without these three, nobody is mentioned and nothing is linked."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _encoded(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")


_FORMATS = {"standard": standard, "slack": slack, "teams": teams}
