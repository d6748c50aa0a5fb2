"""The soak's clients. Each response must carry its request's identity, in its head and in every octet."""
import asyncio
import random

from .origin import BLOCK, Content, body

PATIENCE = 120
SIZES = (0, 1, 100, 100, 2000, 2000, 20000, 70000, 300000, 1 << 20, 10_000_000)
WEIGHTS = (5, 5, 25, 25, 15, 10, 8, 5, 1, 0.5, 0.02)
KINDS = ("length", "chunked", "close", "stale", "upload", "upload-chunked")
KIND_WEIGHTS = (40, 25, 5, 10, 12, 8)


class Wrong(Exception):
    pass


class Clients:
    def __init__(self, address, port, seed, hosts):
        self.address, self.port, self.hosts = address, port, hosts
        self.dice = random.Random(seed)
        self.serial = 0
        self.sent = self.whole = self.aborted = self.octets = 0
        self.terminated = 0     # uploads that met a stale socket: never repeated (contract 5.6)
        self.wrong = []

    async def live(self, index, end):
        """One client after the other, until the time is over."""
        now = asyncio.get_running_loop().time
        source = (f"127.88.{index // 200 % 200}.{index % 200 + 1}", 0)
        while now() < end:
            try:
                await asyncio.wait_for(self.connection(source, end), PATIENCE)
            except Wrong as error:
                self.wrong.append(str(error))
            except asyncio.TimeoutError:
                self.wrong.append(f"no answer within {PATIENCE} s")
            except (OSError, asyncio.IncompleteReadError) as error:
                self.wrong.append(f"lost: {error!r}")

    async def connection(self, source, end):
        reader, writer = await asyncio.open_connection(*self.address, local_addr=source)
        try:
            for _ in range(self.dice.choice((1, 1, 1, 2, 5))):
                if not await self.exchange(reader, writer) or asyncio.get_running_loop().time() > end:
                    return
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        """True when the connection may carry another one."""
        self.serial += 1
        number, size = self.serial, self.dice.choices(SIZES, WEIGHTS)[0]
        kind = self.dice.choices(KINDS, KIND_WEIGHTS)[0]
        abort = self.dice.random() < 0.03
        self.sent += 1
        await self.ask(writer, number, size, kind)
        if abort:
            return await self.leave(reader, writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (BrokenPipeError, ConnectionResetError):
            if not kind.startswith("upload"):
                raise
            self.terminated += 1    # asyncio forgets the 502 that has come when a later write fails
            return False
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        status = int(head[0].split(" ")[1])
        if status == 502 and kind.startswith("upload") and "connection_terminated" in fields.get("proxy-status", ""):
            self.terminated += 1
            return False
        if status != 200 or fields.get("x-id") != str(number):
            raise Wrong(f"{kind} {number}: status {status}, identity {fields.get('x-id')}, {fields.get('proxy-status')}")
        await self.check(reader, fields, number, 100 if kind.startswith("upload") else size)
        self.whole += 1
        return fields.get("connection", "").lower() != "close"

    async def ask(self, writer, number, size, kind):
        target = f"/{kind.partition('-')[0]}/{number}/{size}"
        host = f"h{self.dice.randrange(self.hosts)}.many.test" if self.dice.random() < 0.1 else "soak.test"
        upload = kind.startswith("upload")
        framing = "Transfer-Encoding: chunked\r\n" if kind == "upload-chunked" else f"Content-Length: {size}\r\n" if upload else ""
        writer.write(f"{'POST' if upload else 'GET'} http://{host}:{self.port}{target} HTTP/1.1\r\nHost: {host}\r\n"
                     f"X-Id: {number}\r\n{framing}\r\n".encode())
        if not upload:
            return
        try:
            for piece in Content(number).pieces(size):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if kind == "upload-chunked" else piece)
                await writer.drain()
            if kind == "upload-chunked":
                writer.write(b"0\r\n\r\n")
        except ConnectionError:
            pass    # an answer may stand there all the same

    async def leave(self, reader, writer):
        """Goes away at once, or in the middle of the response; by a reset or in order."""
        self.aborted += 1
        if self.dice.random() < 0.5:
            try:
                await asyncio.wait_for(reader.read(1000), 0.5)
            except (asyncio.TimeoutError, ConnectionError):
                pass
        if self.dice.random() < 0.5:
            writer.transport.abort()
        return False

    async def check(self, reader, fields, number, size):
        content, position = Content(number), 0
        pieces = self.rest(reader) if fields.keys().isdisjoint(("content-length", "transfer-encoding")) else body(reader, fields)
        async for piece in pieces:
            if not content.holds(position, piece):
                raise Wrong(f"{number}: octets of another response at {position}: {piece[:40]!r}")
            position += len(piece)
        if position != size:
            raise Wrong(f"{number}: {position} octets and not {size}")
        self.octets += position

    async def rest(self, reader):
        while piece := await reader.read(BLOCK):
            yield piece
