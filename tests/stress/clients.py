"""Clients that pipeline, leave in the middle, read slowly, log in (NTLM), open tunnels, and check that each answer is their
own."""

import asyncio
import random
import re

from .origins import abort

OWN_ANSWERS = {502, 503, 504}


class Wrong(Exception):
    """An answer that was not for this request."""


class Client:
    def __init__(self, world, number):
        self.world = world
        self.number = number
        self.dice = random.Random(f"{world.seed} client {number}")
        self.asked = 0
        self.answered = 0
        self.user = ""          # of the present connection
        self.slow = False       # the same

    async def live(self):
        """One connection after the other until the world ends."""
        while not self.world.over:
            try:
                await asyncio.wait_for(self.connect_and_ask(), 120)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass

    def build(self, origin, target, last):
        """A request, and within its content one that must never be taken for a request."""
        method = self.dice.choice(["GET", "GET", "PUT", "DELETE", "POST"])
        head = f"{method} http://127.0.0.1:{origin}{target} HTTP/1.1\r\nHost: 127.0.0.1:{origin}\r\n"
        head += f"X-User: {self.user}\r\n"
        if self.dice.random() < 0.1:
            head += "Authorization: NTLM TlRMTVNTUAAB\r\n"
        if last and self.dice.random() < 0.5:
            head += "Connection: close\r\n"
        trap = f"GET http://127.0.0.1:{self.world.trap_port}/ HTTP/1.1\r\nHost: 127.0.0.1:{self.world.trap_port}\r\n\r\n"
        body = trap.encode() * self.dice.choice([1, 1, 1, 30, 2000])
        if method == "GET":
            return head.encode() + b"\r\n"
        if self.dice.random() < 0.5:
            return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
        return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    def next_target(self):
        self.asked += 1
        return f"/{self.number}-{self.asked}"

    async def send(self, writer, request):
        """Now and then a request keeps coming for a while."""
        step = len(request) // 4 if len(request) > 100_000 and self.dice.random() < 0.5 else len(request)
        for at in range(0, len(request), step):
            if at > 0:
                await asyncio.sleep(self.dice.uniform(0, 0.02))
            if writer.is_closing():
                raise ConnectionError("it is gone")
            writer.write(request[at:at + step])

    async def connect(self):
        """A slow one takes little and late, over a listener with little room, so that Carpool is blocked wherever a response
        happens to be."""
        self.slow = self.dice.random() < 0.2
        if self.slow:
            return await asyncio.open_unix_connection(self.world.path, limit=4096)
        return await asyncio.open_connection("127.0.0.1", self.world.port, limit=1 << 20)

    async def connect_and_ask(self):
        reader, writer = await self.connect()
        self.user = f"{self.number}-{self.asked}"
        try:
            for _ in range(self.dice.randrange(1, 5)):
                targets = []
                count = self.dice.randrange(1, 5)
                for i in range(count):
                    targets.append(self.next_target())
                    await self.send(writer, self.build(self.dice.choice(self.world.ports), targets[-1], i == count - 1))
                if self.dice.random() < 0.1:
                    await asyncio.sleep(self.dice.uniform(0, 0.05))
                    abort(writer)
                    return
                for target in targets:
                    if self.slow:
                        await asyncio.sleep(self.dice.uniform(0, 0.03))
                    if not await self.take_answer(reader, target):
                        return
                if self.dice.random() < 0.1:
                    await asyncio.sleep(self.dice.uniform(0, 0.4))
            if self.dice.random() < 0.2:
                await self.tunnel(reader, writer)
        finally:
            writer.close()

    async def tunnel(self, reader, writer):
        """What is asked through it may come to nothing, but the answer is no other's."""
        authority = f"127.0.0.1:{self.dice.choice(self.world.ports)}"
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if int(head.split(" ", 2)[1]) != 200:
            if "proxy-status" not in head:
                raise Wrong(f"CONNECT {authority}: {head}")
            return
        target = self.next_target()
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        await self.take_answer(reader, target)

    async def take_answer(self, reader, target):
        """False: it was the last one here."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if not head.startswith("http/1.1 "):
                raise Wrong(f"{target} was answered with {head[:80]!r}")
            status = int(head.split(" ", 2)[1])
            if status >= 200:
                break
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await self.take_content(reader, fields)
        own = "proxy-status" in fields
        if own != (status != 200) or (own and status not in OWN_ANSWERS):
            raise Wrong(f"{target}: status {status}, {fields}")
        # In a tunnel over a unix socket an end is all that there is: no reset says that it is none.
        end = rb"\$?" if self.slow and not self.is_delimited(fields) else rb"\$"
        if not own and not re.fullmatch(re.escape(target.encode()) + rb"\.*" + end, body):
            raise Wrong(f"{target} was answered with {body[:80]!r}")
        self.answered += 1
        return fields.get("connection") != "close"

    @staticmethod
    def is_delimited(fields):
        """Always, but for what the origin itself sends through a tunnel."""
        return "content-length" in fields or "transfer-encoding" in fields

    async def take_content(self, reader, fields):
        if "content-length" in fields:
            return await reader.readexactly(int(fields["content-length"]))
        if not self.is_delimited(fields):
            return await reader.read()
        body = b""
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            body += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                return body
            if self.dice.random() < 0.02:
                await asyncio.sleep(0.001)
