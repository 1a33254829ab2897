"""A provider for OpenFeature's Python SDK (extra `openfeature`), over a client of Downhaul.

Evaluations are local and never wait, so the asynchronous calls share the body of the synchronous ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, GeneralError, ProviderFatalError
from openfeature.flag_evaluation import FlagMetadata, FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata
from openfeature.track import TrackingEventDetails

from downhaul.client import Client
from downhaul.details import MESSAGES, STANDARD_REASONS, TYPE_MISMATCH, Details
from downhaul.health import Status

__all__ = ["DownhaulProvider", "Tracked"]

Tracked = Callable[[str, EvaluationContext, TrackingEventDetails], object]
Kind = Literal["boolean", "string", "number", "json"]
Object = Sequence[FlagValueType] | Mapping[str, FlagValueType]

NAME: Final = "downhaul"
MORE: Final = {
    "KILLED": {"killed": True},
    "PREREQUISITE_FAILED": {"prerequisiteFailed": True},
    "OVERRIDE": {"overridden": True},
}
"""In the metadata, as the service says it to OpenFeature's other clients."""
REASONS: Final = {ours: Reason(theirs) for ours, theirs in STANDARD_REASONS.items()}


class DownhaulProvider(AbstractProvider):
    """Flags of one service. The targeting key is the attribute `user`, unless the context has one of that name.

    Without a `client` it is the one of `downhaul.flags`, which goes on after a shutdown, since others may use it; a
    client that was given is closed with the provider. `ready_within`: how many seconds an initialization may wait for a
    first snapshot. `on_track(name, context, details)` is handed what the program tracks; without it that is dropped:
    Downhaul counts evaluations, not outcomes.
    """

    def __init__(
        self, client: Client | None = None, *, ready_within: float = 5.0, on_track: Tracked | None = None
    ) -> None:
        super().__init__()
        self._owned = client is not None
        self._client = client or _shared()
        self._ready_within = ready_within
        self._on_track = on_track
        self._removals: list[Callable[[], None]] = []

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Wait for a snapshot. Raises ProviderFatalError where there is nothing to wait for, and GeneralError where
        none has come in time: then the provider is ready as soon as one comes."""
        client = self._client
        if client.status().state == "closed":
            client.configure()
        self._stop_listening()
        self._removals = [client.on_change(self._changed), client.on_status(self._status)]
        if client.wait_ready(self._ready_within) or client.all():
            api.add_handler(ProviderEvent.PROVIDER_READY, self._ready)
            self._removals.append(lambda: api.remove_handler(ProviderEvent.PROVIDER_READY, self._ready))
            return
        trouble = client.status().last_error
        if not client._settings.complete:
            raise ProviderFatalError(trouble or "there is no url, key and service to follow")
        raise GeneralError(f"no flags after {self._ready_within:g} s: {trouble or 'the service has not answered'}")

    def shutdown(self) -> None:
        """Stop telling, and close the client that was given. May be repeated."""
        self._stop_listening()
        if self._owned:
            self._client.close()

    def get_metadata(self) -> Metadata:
        return Metadata(name=NAME)

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        if self._on_track:
            self._on_track(
                tracking_event_name,
                evaluation_context or EvaluationContext(),
                tracking_event_details or TrackingEventDetails(),
            )

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, default_value, evaluation_context, "boolean", lambda value: value)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, default_value, evaluation_context, "string", lambda value: value)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, default_value, evaluation_context, "number", _integer)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, default_value, evaluation_context, "number", float)

    def resolve_object_details(
        self, flag_key: str, default_value: Object, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Object]:
        return self._resolve(flag_key, default_value, evaluation_context, "json", _object)

    def _resolve(
        self, flag: str, default: Any, context: EvaluationContext | None, kind: Kind, convert: Callable[[Any], Any]
    ) -> FlagResolutionDetails[Any]:
        """`convert` raises ValueError for a value that is none of the type asked for."""
        found = self._client._answers.details(flag, default, _attributes(context), kind)
        if found.error_code:
            return _failed(default, found, found.error_code)
        try:
            value = convert(found.value)
        except (ValueError, OverflowError):
            return _failed(default, found, TYPE_MISMATCH)
        return FlagResolutionDetails(
            value=value,
            reason=REASONS.get(found.reason, found.reason),
            variant=found.variant,
            flag_metadata=_metadata(found),
        )

    def _changed(self, names: frozenset[str]) -> None:
        self._tell(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, ProviderEventDetails(flags_changed=sorted(names)))

    def _status(self, status: Status) -> None:
        if status.state == "ready":
            self._tell(ProviderEvent.PROVIDER_READY, ProviderEventDetails())
        elif status.state == "stale":
            self._tell(ProviderEvent.PROVIDER_STALE, ProviderEventDetails(message=status.last_error))
        elif status.state == "offline":
            details = ProviderEventDetails(message=status.last_error, error_code=ErrorCode.PROVIDER_NOT_READY)
            self._tell(ProviderEvent.PROVIDER_ERROR, details)

    def _tell(self, event: ProviderEvent, details: ProviderEventDetails) -> None:
        try:
            self.emit(event, details)
        except RuntimeError as error:
            # The program is ending, and our thread ends later than OpenFeature's: nobody is left who could hear it.
            if "cannot schedule new futures" not in str(error):
                raise

    def _ready(self, _: EventDetails) -> None:
        """OpenFeature calls a provider ready after every initialization; ours may have but what was on disk."""
        status = self._client.status()
        if status.state == "stale":
            self._status(status)

    def _stop_listening(self) -> None:
        for remove in self._removals:
            remove()
        self._removals = []


def _shared() -> Client:
    from downhaul.flags import client

    return client


def _attributes(context: EvaluationContext | None) -> dict[str, Any]:
    if context is None:
        return {}
    found = {name: _plain(value) for name, value in context.attributes.items()}
    if context.targeting_key is not None:
        found = {"user": context.targeting_key, **found, "targetingKey": context.targeting_key}
    return found


def _plain(value: Any) -> Any:
    """A time as conditions know it: RFC 3339. One without an offset is none."""
    return value.isoformat() if isinstance(value, datetime) else value


def _failed(default: Any, found: Details[Any], code: str) -> FlagResolutionDetails[Any]:
    return FlagResolutionDetails(
        value=default,
        reason=Reason.ERROR,
        error_code=ErrorCode(code),
        error_message=MESSAGES[code],
        flag_metadata=_metadata(found),
    )


def _metadata(found: Details[Any]) -> FlagMetadata:
    """The flag's own, and what OpenFeature's reasons cannot say."""
    rule = {"rule": found.rule} if found.rule else {}
    return MappingProxyType({**found.metadata, **MORE.get(found.reason, {}), **rule})


def _integer(value: float) -> int:
    if value != int(value):
        raise ValueError("no whole number")
    return int(value)


def _object(value: Any) -> Object:
    if not isinstance(value, (dict, list)):
        raise ValueError("neither an object nor a list")
    return value
