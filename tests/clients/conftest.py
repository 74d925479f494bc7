"""Fixtures. Run by `tests/clients/run`, which makes the environments."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from longhaul_server import Server, environment, tools_and_data
from peer import HTTP_WAYS, STDIO_WAYS, WAYS, Peer, over_http, over_stdio
from stdio_hosts import Hosts

# Nothing here takes a tenth of it; what waits in vain ends all the same.
TEST_SECONDS = 240

Connect = Callable[[], AbstractAsyncContextManager[Peer]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--longhaul", type=Path, required=True, help="the binary under test")
    parser.addoption("--guests", type=Path, required=True, help="what `serve --tools` gets: the example tools")


def pytest_configure(config: pytest.Config) -> None:
    # The older protocol is meant where it is used.
    config.addinivalue_line("filterwarnings", "ignore:resources/(un)?subscribe is removed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`connect` runs a test with every client and transport, `connect_http` and `hosts` with those of one."""
    if "way" in metafunc.fixturenames:
        http_only = "connect_http" in metafunc.fixturenames or "own_server" in metafunc.fixturenames
        stdio_only = "hosts" in metafunc.fixturenames
        metafunc.parametrize("way", HTTP_WAYS if http_only else STDIO_WAYS if stdio_only else WAYS)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs tests that are coroutines."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}

    async def in_time() -> None:
        with anyio.fail_after(TEST_SECONDS):
            await test(**arguments)

    try:
        anyio.run(in_time)
    except BaseExceptionGroup as group:
        # Each context of a client wraps what is raised in it once more.
        raise innermost(group) from None
    return True


def innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        [error] = error.exceptions
    return error


@pytest.fixture(scope="session")
def binary(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.getoption("--longhaul").resolve(strict=True)


@pytest.fixture(scope="session")
def guests(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.getoption("--guests").resolve(strict=True)


@pytest.fixture(scope="session")
def shared_server(binary: Path, guests: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(binary, guests, tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """One server for all tests that do it no harm. What it logged meanwhile is shown where a test fails."""
    shared_server.still_runs()
    before = shared_server.log.stat().st_size
    yield shared_server
    shared_server.still_runs()
    print(shared_server.log.read_bytes()[before:].decode(errors="replace"))


@pytest.fixture
def own_server(way: str, binary: Path, guests: Path, tmp_path: Path) -> Iterator[Server]:
    """One that a test may kill."""
    server = Server(binary, guests, tmp_path)
    server.start()
    yield server
    server.abandon()
    print(server.log.read_text(errors="replace"))


@pytest.fixture
def running(binary: Path, guests: Path, tmp_path: Path) -> Iterator[Server]:
    """One for the command line, which a test may kill."""
    server = Server(binary, guests, tmp_path)
    server.start()
    yield server
    server.abandon()
    print(server.log.read_text(errors="replace"))


@pytest.fixture
def hosts(way: str, binary: Path, guests: Path, tmp_path: Path) -> Iterator[Hosts]:
    """Hosts on one data folder, whose server may be killed."""
    hosts = Hosts(mode_of(way), binary, guests, tmp_path)
    yield hosts
    hosts.abandon()
    print(hosts.logged())


@pytest.fixture(scope="session")
def stdio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one server after the other: each ends with its last client."""
    return tmp_path_factory.mktemp("stdio")


@pytest.fixture
def connect_http(way: str, server: Server) -> Connect:
    return lambda: over_http(mode_of(way), server.url)


@pytest.fixture
def connect(way: str, request: pytest.FixtureRequest) -> Connect:
    """To the shared server, or over stdio to one of its own."""
    if way.startswith("http"):
        server = request.getfixturevalue("server")
        return lambda: over_http(mode_of(way), server.url)
    binary, guests, folder = (request.getfixturevalue(name) for name in ("binary", "guests", "stdio_folder"))

    @asynccontextmanager
    async def spawn() -> AsyncIterator[Peer]:
        log = folder / "server.log"
        before = log.stat().st_size if log.exists() else 0
        try:
            with log.open("ab") as stderr:
                arguments = ["serve", "--stdio", *tools_and_data(guests, folder)]
                async with over_stdio(mode_of(way), str(binary), arguments, environment(folder), stderr) as peer:
                    yield peer
        finally:
            print(log.read_bytes()[before:].decode(errors="replace"))

    return spawn


def mode_of(way: str) -> str:
    return way.split("-", 1)[1]
