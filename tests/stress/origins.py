"""Origins that misbehave: they reset, close, answer early or in pieces, and stop listening for a while."""

import asyncio
import random
import socket
import struct


def abort(writer):
    """Ends a connection with a reset, now."""
    sock = writer.get_extra_info("socket")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()


class Leave(Exception):
    """The origin ends this connection."""


async def read_head(reader):
    """(method, target, fields) of a request."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return method, target, fields


async def read_body(reader, fields):
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    body = b""
    while fields.get("transfer-encoding") == "chunked":
        size = int(await reader.readuntil(b"\r\n"), 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if size == 0:
            break
    return body


def response(name, *, chunks=False, close=False, challenge=False, filler=0, length=True):
    """An answer whose content names the request that it is for, and shows where it ends. Without a length its connection's
    end ends it."""
    content = name.encode() + b"." * filler + b"$"
    head = b"HTTP/1.1 200 OK\r\n" + (b"Connection: close\r\n" if close else b"")
    head += b"WWW-Authenticate: Negotiate\r\n" if challenge else b""
    if not length:
        return head + b"\r\n" + content
    if not chunks:
        return head + b"Content-Length: %d\r\n\r\n" % len(content) + content
    step = max(1, len(content) // 50)
    pieces = [content[i:i + step] for i in range(0, len(content), step)]
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


MORE = response("/nobody-asked-for-this")


class Login:
    """Whom NTLM or Negotiate has named on a connection: it is that client's alone from then on."""

    def __init__(self):
        self.user = None

    def note(self, fields):
        """Who asks though it is another's; None: all is well."""
        user = fields.get("x-user")
        if user and self.user not in (None, user):
            return f"{user} uses the connection of {self.user}"
        if fields.get("authorization", "").startswith("ntlm"):
            self.user = user
        return None


class Origin:
    """Answers with the target it was asked for; counts the targets that must come once at most."""

    def __init__(self, port, seed, seen_once):
        self.port = port
        self.dice = random.Random(seed)
        self.seen_once = seen_once
        self.doubles = []
        self.strangers = []
        self.server = None

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, reuse_address=True, backlog=512)

    async def flap(self):
        """Listens, and for moments does not."""
        while True:
            await self.listen()
            await asyncio.sleep(self.dice.uniform(0.05, 0.6))
            self.server.close()
            await asyncio.sleep(self.dice.uniform(0, 0.1))

    async def serve(self, reader, writer):
        login = Login()
        try:
            while True:
                await self.answer(reader, writer, login)
        except (Leave, asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def note(self, method, target):
        if method != "POST":
            return
        if target in self.seen_once:
            self.doubles.append(target)
        self.seen_once.add(target)

    async def answer(self, reader, writer, login):
        method, target, fields = await read_head(reader)
        self.note(method, target)
        stranger = login.note(fields)
        if stranger:
            self.strangers.append(f"{target}: {stranger}")
        how = self.dice.random()
        if how < 0.04:
            abort(writer)           # before a byte, the body unread
            raise Leave
        if how < 0.05:
            await self.answer_and_reset(writer, target)
        if how < 0.08:
            writer.write(response(target))
            await writer.drain()    # an early answer: the body is read all the same, or not
            if how < 0.06:
                raise Leave
        await read_body(reader, fields)
        if how < 0.08:
            return
        challenge = how > 0.95
        if challenge:
            login.user = fields.get("x-user")
        await self.answer_whole_request(writer, target, how, challenge)

    async def answer_and_reset(self, writer, target):
        """A part of an answer without a length, and a reset, which is no end, while the request still comes."""
        writer.write(response(target, filler=self.dice.choice([0, 5000]), length=False)[:-1])
        await writer.drain()
        await asyncio.sleep(self.dice.uniform(0, 0.05))
        abort(writer)
        raise Leave

    async def answer_and_more(self, writer, target):
        """A head, and then content with an answer behind it that no request had asked for, in one piece."""
        head, _, content = response(target, filler=self.dice.choice([0, 40_000])).partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        await writer.drain()
        writer.write(content + MORE)
        await writer.drain()
        await asyncio.sleep(0.02)

    async def answer_whole_request(self, writer, target, how, challenge):
        if how < 0.12:
            raise Leave             # a FIN instead of an answer
        if how < 0.15:
            writer.write(response(target)[:self.dice.randrange(1, 60)])
            abort(writer)
            raise Leave
        if how < 0.18:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        if how < 0.21:
            await self.answer_and_more(writer, target)
            raise Leave
        close = how < 0.25
        length = not close or self.dice.random() < 0.5
        writer.write(response(target, chunks=self.dice.random() < 0.4, close=close, challenge=challenge, length=length,
                              filler=self.dice.choice([0, 0, 50, 5000, self.dice.randrange(100_000, 400_000)])))
        await writer.drain()
        if close:
            raise Leave
        if how < 0.45:
            abort(writer)           # behind a whole answer: what is sent next meets the reset
            raise Leave
