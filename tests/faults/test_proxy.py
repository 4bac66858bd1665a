"""The proxy forwards, cuts and slows."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.brokers.process import free_ports
from tests.faults.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65_536):
            connection.sendall(data)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(free_ports(1)[0], echo) as running:
        yield running


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def said_back(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    got = b""
    while len(got) < len(data) and (more := connection.recv(65_536)):
        got += more
    return got


def test_it_forwards_both_ways_in_order(proxy: Proxy):
    data = bytes(range(256)) * 2_000
    with connect(proxy) as connection:
        assert said_back(connection, data) == data


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_over(proxy: Proxy):
    with connect(proxy) as connection:
        assert said_back(connection, b"before") == b"before"
        with proxy.cut():
            assert _is_dead(connection)
            with connect(proxy) as refused:
                assert _is_dead(refused)
    with connect(proxy) as connection:
        assert said_back(connection, b"after") == b"after"


def test_when_slow_it_takes_the_delay_each_way(proxy: Proxy):
    with connect(proxy) as connection, proxy.slow(0.1):
        begun = time.monotonic()
        assert said_back(connection, b"slow") == b"slow"
        assert time.monotonic() - begun >= 0.2  # a sleep never ends early


def test_closed_while_a_connection_is_open_it_leaves_no_task_behind(echo: int):
    with Proxy(free_ports(1)[0], echo) as proxy:
        connection = connect(proxy)
        assert said_back(connection, b"open") == b"open"
    with connection:
        assert _is_dead(connection)
    assert not asyncio.all_tasks(proxy._loop)


def _is_dead(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
