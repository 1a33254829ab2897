"""A real Django project: both kinds of views, both kinds of templates, WSGI and ASGI."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.template import engines
from django.test import AsyncClient, RequestFactory
from django.test import Client as Browser
from django.test.utils import override_settings
from django.urls import path
from downhaul.client import Client
from downhaul.flags import client
from downhaul.integrations.django import DownhaulMiddleware
from downhaul.integrations.logs import FeatureFlags
from downhaul.integrations.recording import evaluated
from downhaul.settings import Settings
from support.fakeservice import KEY, SERVICE, FakeService
from support.rulesets import flag
from support.waiting import wait_until

NAME = __name__
PAGES = {
    "tags.html": (
        "{% load downhaul %}"
        '{% if "new-checkout"|flag %}new{% else %}old{% endif %} '
        '{% flag "new-checkout" user="anna" as for_anna %}{% if for_anna and not "nope"|flag %}new{% endif %} '
        '{% flag "nope" True %} {% flag_value "colour" %} {{ "nope"|flag_value:"grey" }}'
    ),
    "variable.html": "{% if flags.new_checkout %}new{% else %}old{% endif %} {{ flags.colour }} {{ flags.no_such }}",
    "unused.html": "nothing",
}
JINJA_PAGE = '{% if flag("new-checkout") %}new{% else %}old{% endif %} {{ flag_value("colour") }}'
shop = logging.getLogger("shop")


def user_of(request: HttpRequest) -> dict[str, Any]:
    return {"user": request.GET.get("user")}


async def user_of_slowly(request: HttpRequest) -> dict[str, Any]:
    await asyncio.sleep(0)
    return user_of(request)


def broken(request: HttpRequest) -> dict[str, Any]:
    raise ZeroDivisionError


def code(request: HttpRequest) -> HttpResponse:
    on = client.enabled("new-checkout")
    shop.warning("asked")
    return JsonResponse({"on": on})


async def code_async(request: HttpRequest) -> HttpResponse:
    return code(request)


def page(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, name)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(f"{client.enabled('new-checkout')} " for _ in range(2))


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        for _ in range(2):
            await asyncio.sleep(0)
            yield f"{client.enabled('new-checkout')} "

    return StreamingHttpResponse(parts())


def missing(request: HttpRequest) -> HttpResponse:
    client.enabled("banner")
    return HttpResponseNotFound()


urlpatterns = [
    path("code", code),
    path("async", code_async),
    path("page/<name>", page),
    path("stream", stream),
    path("stream-async", stream_async),
    path("missing", missing),
]


@pytest.fixture(scope="module", name="client")
def the_default_client(project: None) -> Client:
    """Django's pages have no other."""
    return client


@pytest.fixture(scope="module", autouse=True)
def project(service: FakeService) -> Iterator[None]:
    """Django is set up once for the process; the settings of the SDK are Django's."""
    import jinja2

    settings.configure(
        SECRET_KEY="test",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=NAME,
        INSTALLED_APPS=["downhaul.integrations.django"],
        MIDDLEWARE=["downhaul.integrations.django.DownhaulMiddleware"],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [("django.template.loaders.locmem.Loader", PAGES)],
                    "context_processors": ["downhaul.integrations.django.flags"],
                },
            },
            {
                "BACKEND": "django.template.backends.jinja2.Jinja2",
                "OPTIONS": {
                    "loader": jinja2.DictLoader({"page.jinja": JINJA_PAGE}),
                    "extensions": ["downhaul.integrations.jinja.FlagFunctions"],
                },
            },
        ],
        DOWNHAUL={"URL": service.url, "KEY": KEY, "SERVICE": SERVICE, "POLL_INTERVAL": 0.05, "CONTEXT": user_of},
    )
    django.setup()
    assert client.wait_ready(20)
    yield
    client.use(Settings(), start=False)


def told(**options: Any) -> override_settings:
    """The project with these options of ours besides."""
    return override_settings(DOWNHAUL={**settings.DOWNHAUL, **options})


def body_of(response: Any) -> str:
    return b"".join(response.streaming_content if response.streaming else [response.content]).decode()


class TestViews:
    @pytest.mark.parametrize("address", ["/code", "/async"])
    def test_evaluate_in_the_context_of_their_request(self, address: str) -> None:
        assert Browser().get(address, {"user": "anna"}).json() == {"on": True}
        assert Browser().get(address, {"user": "bert"}).json() == {"on": False}
        assert client.enabled("new-checkout") is False
        assert evaluated() == {}

    @pytest.mark.parametrize("address", ["/code", "/async"])
    @pytest.mark.parametrize("function", [user_of, user_of_slowly, f"{NAME}.user_of"])
    def test_do_so_under_asgi(self, address: str, function: Any) -> None:
        with told(CONTEXT=function):

            async def at_once() -> list[Any]:
                users = ["anna", "bert"] * 3
                answers = await asyncio.gather(*(AsyncClient().get(address, {"user": user}) for user in users))
                return [answer.json()["on"] for answer in answers]

            assert asyncio.run(at_once()) == [True, False] * 3

    def test_may_be_streamed(self) -> None:
        assert body_of(Browser().get("/stream", {"user": "anna"})) == "True True "
        assert evaluated() == {}

    def test_may_be_streamed_under_asgi(self) -> None:
        async def fetch() -> str:
            response = await AsyncClient().get("/stream-async", {"user": "anna"})
            return b"".join([part async for part in response.streaming_content]).decode()

        assert asyncio.run(fetch()) == "True True "

    @pytest.mark.parametrize("browser", [Browser, AsyncClient])
    def test_go_on_where_the_function_fails(self, browser: Any, caplog: pytest.LogCaptureFixture) -> None:
        with told(CONTEXT=broken):
            response = browser().get("/code", {"user": "anna"})
            response = asyncio.run(response) if browser is AsyncClient else response
        assert response.json() == {"on": False}
        assert caplog.text.count("the context function failed") == 1

    def test_may_be_frozen(self, publish: Callable[..., None]) -> None:
        def slow(request: HttpRequest) -> HttpResponse:
            publish(banner=flag(killed=True))
            with ThreadPoolExecutor(1) as elsewhere:
                wait_until(lambda: not elsewhere.submit(client.enabled, "banner").result(), "the kill is in force")
            return HttpResponse(str(client.enabled("banner")))

        for frozen in (True, False):
            wait_until(lambda: client.enabled("banner"), "the flag is on")
            with told(FROZEN=frozen):
                assert DownhaulMiddleware(slow)(RequestFactory().get("/")).content == str(frozen).encode()  # type: ignore[union-attr]
            publish()


class TestTemplates:
    def test_have_tags_and_filters(self) -> None:
        assert body_of(Browser().get("/page/tags.html", {"user": "anna"})) == "new new True #00f grey"
        assert body_of(Browser().get("/page/tags.html", {"user": "bert"})) == "old new True #00f grey"

    def test_have_a_variable(self) -> None:
        assert body_of(Browser().get("/page/variable.html", {"user": "anna"})) == "new #00f None"
        assert body_of(Browser().get("/page/variable.html", {"user": "bert"})) == "old #00f None"

    def test_evaluate_nothing_that_they_do_not_look_at(self) -> None:
        before = client.counts()
        assert body_of(Browser().get("/page/unused.html")) == "nothing"
        assert client.counts() == before

    def test_of_jinja_have_the_functions(self) -> None:
        assert body_of(Browser().get("/page/page.jinja", {"user": "anna"})) == "new #00f"
        assert body_of(Browser().get("/page/page.jinja", {"user": "bert"})) == "old #00f"

    def test_know_a_flag_that_is_spelled_with_an_underscore(self, publish: Callable[..., None]) -> None:
        publish(new_checkout=flag())
        wait_until(lambda: client.enabled("new_checkout"), "the flag is there")
        assert body_of(Browser().get("/page/variable.html", {"user": "bert"})).startswith("new ")

    def test_escape_values(self, publish: Callable[..., None]) -> None:
        with client.override(colour="<b>"):
            text = engines["django"].from_string('{% load downhaul %}{% flag_value "colour" %}').render()
        assert text == "&lt;b&gt;"


class TestLogs:
    def test_records_of_a_request_have_its_flags(self, caplog: pytest.LogCaptureFixture) -> None:
        Browser().get("/code", {"user": "anna"})
        (record,) = [record for record in caplog.records if record.name == "shop"]
        assert record.feature_flags == {"new-checkout": "on"}  # type: ignore[attr-defined]

    def test_so_have_those_that_django_writes_when_it_is_over(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.handler.addFilter(FeatureFlags())
        Browser().get("/missing")
        (record,) = [record for record in caplog.records if record.name == "django.request"]
        assert record.feature_flags == {"banner": "on"}  # type: ignore[attr-defined]


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"CONTEXT": "shop.nowhere"}, r"DOWNHAUL\['CONTEXT'\]: No module named"),
            ({"CONTEXT": 17}, r"DOWNHAUL\['CONTEXT'\] must be a function or the path of one, not 17"),
            ({"FROZEN": "yes"}, r"DOWNHAUL\['FROZEN'\] must be True or False, not 'yes'"),
            ({"CONTXT": user_of}, r"DOWNHAUL\['CONTXT'\] is unknown; there are CONTEXT, FROZEN, RECORD, URL"),
        ],
    )
    def test_that_are_wrong_are_told(self, wrong: dict[str, Any], message: str) -> None:
        with override_settings(DOWNHAUL=wrong), pytest.raises(ImproperlyConfigured, match=message):
            DownhaulMiddleware(lambda request: HttpResponse())

    def test_of_the_sdk_are_told_when_the_project_starts(self) -> None:
        from django.apps import apps

        for wrong, message in (
            ({"URL": "nowhere"}, "DOWNHAUL: url must be an address"),
            (17, "must be a dict, not 17"),
        ):
            with override_settings(DOWNHAUL=wrong), pytest.raises(ImproperlyConfigured, match=message):
                apps.get_app_config("downhaul").ready()
