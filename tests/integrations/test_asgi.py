"""Real applications of FastAPI, Starlette and Litestar through their test clients; and one of none under uvicorn."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import fastapi
import fastapi.testclient
import jinja2
import litestar
import litestar.middleware
import litestar.testing
import pytest
import requests
import starlette.applications
import starlette.middleware
import starlette.requests
import starlette.responses
import starlette.routing
import starlette.templating
import starlette.testclient
import starlette.websockets
import uvicorn
from downhaul.client import Client
from downhaul.integrations import jinja
from downhaul.integrations.asgi import ASGIScope, DownhaulMiddleware, Receive, Send
from downhaul.integrations.logs import KEY
from downhaul.integrations.recording import evaluated
from support.rulesets import flag
from support.waiting import wait_until

PAGE = '{% if flag("new-checkout") %}new{% else %}old{% endif %}'
shop = logging.getLogger("shop")


def user_of(scope: ASGIScope) -> dict[str, Any]:
    return {"user": parse_qs(scope["query_string"].decode()).get("user", [""])[0]}


async def user_of_slowly(scope: ASGIScope) -> dict[str, Any]:
    await asyncio.sleep(0)
    return user_of(scope)


class Shop:
    """What the views of all three do, and what their lives have seen."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.life: list[str] = []

    def told(self) -> dict[str, Any]:
        on = self.client.enabled("new-checkout")
        shop.warning("asked")
        return {"on": on, "evaluated": [*evaluated()]}

    @asynccontextmanager
    async def living(self, app: Any) -> AsyncIterator[None]:
        self.life.append("begun")
        yield
        self.life.append("over")


def with_fastapi(shop: Shop, **options: Any) -> Any:
    app = fastapi.FastAPI(lifespan=shop.living)
    app.add_middleware(DownhaulMiddleware, client=shop.client, **options)

    @app.get("/sync")
    def sync() -> dict[str, Any]:
        return shop.told()

    @app.get("/async")
    async def asynchronous() -> dict[str, Any]:
        return shop.told()

    @app.websocket("/socket")
    async def socket(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(shop.told())
        await websocket.close()

    return fastapi.testclient.TestClient(app)


def with_starlette(shop: Shop, **options: Any) -> Any:
    templates = starlette.templating.Jinja2Templates(
        env=jinja2.Environment(loader=jinja2.DictLoader({"page": PAGE}), autoescape=True)
    )
    jinja.install(templates.env, shop.client)

    def sync(request: starlette.requests.Request) -> starlette.responses.Response:
        return starlette.responses.JSONResponse(shop.told())

    async def asynchronous(request: starlette.requests.Request) -> starlette.responses.Response:
        return starlette.responses.JSONResponse(shop.told())

    def page(request: starlette.requests.Request) -> starlette.responses.Response:
        return templates.TemplateResponse(request, "page")

    async def stream(request: starlette.requests.Request) -> starlette.responses.Response:
        async def parts() -> AsyncIterator[str]:
            for _ in range(2):
                yield f"{shop.client.enabled('new-checkout')} "

        return starlette.responses.StreamingResponse(parts())

    async def socket(websocket: starlette.websockets.WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(shop.told())
        await websocket.close()

    routes = [
        starlette.routing.Route("/sync", sync),
        starlette.routing.Route("/async", asynchronous),
        starlette.routing.Route("/page", page),
        starlette.routing.Route("/stream", stream),
        starlette.routing.WebSocketRoute("/socket", socket),
    ]
    middleware = [starlette.middleware.Middleware(DownhaulMiddleware, client=shop.client, **options)]
    app = starlette.applications.Starlette(routes=routes, middleware=middleware, lifespan=shop.living)
    return starlette.testclient.TestClient(app)


def with_litestar(shop: Shop, **options: Any) -> Any:
    @litestar.get("/sync", sync_to_thread=True)
    def sync() -> dict[str, Any]:
        return shop.told()

    @litestar.get("/async")
    async def asynchronous() -> dict[str, Any]:
        return shop.told()

    @litestar.websocket("/socket")
    async def socket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.send_json(shop.told())
        await socket.close()

    middleware = litestar.middleware.DefineMiddleware(DownhaulMiddleware, client=shop.client, **options)
    app = litestar.Litestar(
        [sync, asynchronous, socket], middleware=[middleware], lifespan=[shop.living], logging_config=None
    )
    return litestar.testing.TestClient(app)


Make = Callable[..., Any]
frameworks = pytest.mark.parametrize("make", [with_fastapi, with_starlette, with_litestar])


@frameworks
@pytest.mark.parametrize("function", [user_of, user_of_slowly])
def test_each_request_and_socket_has_its_context(
    client: Client, make: Make, function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    seen = Shop(client)
    with make(seen, context=function) as browser:
        assert seen.life == ["begun"]
        for path in ("/sync", "/async"):
            assert browser.get(f"{path}?user=anna").json() == {"on": True, "evaluated": ["new-checkout"]}
            assert browser.get(f"{path}?user=bert").json() == {"on": False, "evaluated": ["new-checkout"]}
        with browser.websocket_connect("/socket?user=anna") as socket:
            assert socket.receive_json() == {"on": True, "evaluated": ["new-checkout"]}
    assert seen.life == ["begun", "over"]
    asked = [record.feature_flags for record in caplog.records if record.getMessage() == "asked"]  # type: ignore[attr-defined]
    assert asked == [{"new-checkout": variant} for variant in ("on", "off", "on", "off", "on")]


@frameworks
def test_without_a_function_there_is_no_context(client: Client, make: Make) -> None:
    with make(Shop(client)) as browser:
        assert browser.get("/async?user=anna").json() == {"on": False, "evaluated": ["new-checkout"]}


@pytest.mark.parametrize("function", [lambda scope: 1 / 0, "async"])
def test_a_function_that_fails_does_not_break_the_request(
    client: Client, function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(scope: ASGIScope) -> dict[str, Any]:
        raise ZeroDivisionError

    with with_fastapi(Shop(client), context=fails if function == "async" else function) as browser:
        assert browser.get("/sync").json()["on"] is False
        assert browser.get("/sync").json()["on"] is False
    assert caplog.text.count("the context function failed") == 1


def test_templates_and_streams_are_in_the_context_of_their_request(client: Client) -> None:
    with with_starlette(Shop(client), context=user_of) as browser:
        assert browser.get("/page?user=anna").text == "new"
        assert browser.get("/page?user=bert").text == "old"
        assert browser.get("/stream?user=anna").text == "True True "


def test_a_function_sees_what_the_endpoint_has_found_out_before(client: Client) -> None:
    """Who the user is is often known no sooner than in a dependency of FastAPI."""
    app = fastapi.FastAPI()
    app.add_middleware(
        DownhaulMiddleware, client=client, context=lambda scope: {"user": scope["state"].get("user", "nobody")}
    )

    def log_in(request: fastapi.Request) -> None:
        request.state.user = "anna"

    @app.get("/", dependencies=[fastapi.Depends(log_in)])
    async def page() -> bool:
        return client.enabled("new-checkout")

    with fastapi.testclient.TestClient(app) as browser:
        assert browser.get("/").json() is True


@pytest.mark.parametrize(("kind", "expected"), [("http", True), ("websocket", False)])
def test_requests_may_be_frozen_but_no_socket_is(
    client: Client, publish: Callable[..., None], kind: str, expected: bool
) -> None:
    seen: list[bool] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        publish(banner=flag(killed=True))
        with ThreadPoolExecutor(1) as elsewhere:
            wait_until(lambda: not elsewhere.submit(client.enabled, "banner").result(), "the kill is in force")
        seen.append(client.enabled("banner"))

    wait_until(lambda: client.enabled("banner"), "the flag is on")
    asyncio.run(DownhaulMiddleware(app, client=client, frozen=True)({"type": kind}, None, None))  # type: ignore[arg-type]
    assert seen == [expected]


def test_other_scopes_pass_as_they_are(client: Client) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    given = ({"type": "lifespan"}, object(), object())
    asyncio.run(DownhaulMiddleware(app, client=client)(*given))  # type: ignore[arg-type]
    assert [each is other for each, other in zip(seen, given, strict=True)] == [True] * 3
    assert given[0] == {"type": "lifespan"}


@pytest.fixture
def address(client: Client) -> Iterator[str]:
    """A pure ASGI application under uvicorn: half of each answer is made when other requests have come between."""

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        before = client.enabled("new-checkout")
        await asyncio.sleep(0.01)
        after = await asyncio.to_thread(client.enabled, "new-checkout")
        body = f"{before} {after} {scope[KEY]}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})

    application = DownhaulMiddleware(app, context=user_of, client=client)
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), "uvicorn is up")
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


def test_requests_at_once_keep_apart_and_access_logs_tell_them(address: str, caplog: pytest.LogCaptureFixture) -> None:
    users = ["anna", "bert"] * 20
    with caplog.at_level(logging.INFO, "uvicorn.access"), ThreadPoolExecutor(8) as visitors:
        pages = list(visitors.map(lambda user: requests.get(f"{address}/?user={user}", timeout=20).text, users))
    expected = {"anna": "True True new-checkout=on", "bert": "False False new-checkout=off"}
    assert pages == [expected[user] for user in users]
    lines = [record for record in caplog.records if record.name == "uvicorn.access"]
    told = {("anna" in record.getMessage(), record.feature_flags["new-checkout"]) for record in lines}  # type: ignore[attr-defined]
    assert len(lines) == len(users)
    assert told == {(True, "on"), (False, "off")}
