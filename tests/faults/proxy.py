"""A TCP proxy between workers and broker, whose line can be cut and slowed while it runs.

The broker has a second listener that advertises the proxy's port, so that clients who come through the proxy stay on
it (see `listeners`). It runs in a thread with an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Self

CHUNK = 64 << 10


def listeners(port: int, behind: int, controller: int, proxy: int) -> dict[str, str]:
    """Broker settings: CLIENT on `port` for everyone, PROXIED on `behind`, which says that it is on `proxy`."""
    return {
        "listeners": f"CLIENT://127.0.0.1:{port},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxy}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


class Proxy:
    """Listens on `port`, forwards to 127.0.0.1:`target`. A context manager.

    delay_s: how long every chunk waits, in each direction. `cut`: open connections are reset, new ones refused.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self.delay_s = 0.0
        self._open = True
        self._pipes: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(server, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Nothing passes while the block runs."""
        self._open = False
        self._loop.call_soon_threadsafe(self._drop)
        try:
            yield
        finally:
            self._open = True

    @contextlib.contextmanager
    def slow(self, delay_s: float) -> Iterator[None]:
        """Everything takes `delay_s` longer each way while the block runs."""
        self.delay_s = delay_s
        try:
            yield
        finally:
            self.delay_s = 0.0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways, in one task that ends when both have ended."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        if not self._open:  # asked after the wait: the line may have been cut meanwhile
            writer.transport.abort()
            back.transport.abort()
            return
        async with asyncio.TaskGroup() as ways:
            ways.create_task(self._forward(reader, back))
            ways.create_task(self._forward(there, writer))

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Chunks keep their order; each leaves `delay_s` after it came, however many are on their way."""
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._pipes.add(sink)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._send(line, sink))
                with contextlib.suppress(OSError):
                    while chunk := await source.read(CHUNK):
                        line.put_nowait((time.monotonic() + self.delay_s, chunk))
                line.put_nowait((time.monotonic() + self.delay_s, b""))
        finally:
            self._pipes.discard(sink)
            sink.close()

    async def _send(self, line: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, chunk = await line.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not chunk:
                    return
                sink.write(chunk)
                await sink.drain()

    def _drop(self) -> None:
        for pipe in self._pipes:
            pipe.transport.abort()
        self._pipes.clear()

    async def _close(self) -> None:
        """Nobody listens, and no task is left: one that outlived the loop would complain wherever it is collected."""
        self._server.close()
        self._drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
