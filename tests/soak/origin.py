"""The soak's origin: answers /KIND/ID/SIZE with octets that only this ID has, and checks the octets of uploads.

Kinds: length, chunked, close (the end of the connection ends the content), stale (closes soon after a whole answer, and
does not say so), upload. It prints its port, and at the end of its input a line of JSON: how many whole requests it saw,
and what was wrong with them."""
import asyncio
import json
import random
import sys

UNIT = 16
BLOCK = 64 * 1024


class Content:
    """The octets that belong to one ID, never held whole."""

    def __init__(self, number):
        self.block = b"%015d|" % number * (BLOCK // UNIT + 1)

    def at(self, position, count):
        start = position % UNIT
        return self.block[start:start + count]

    def pieces(self, size):
        for position in range(0, size, BLOCK):
            yield self.at(position, min(BLOCK, size - position))

    def holds(self, position, data):
        return all(self.at(position + i, len(data[i:i + BLOCK])) == data[i:i + BLOCK] for i in range(0, len(data), BLOCK))


class Origin:
    def __init__(self):
        self.seen, self.wrong = {}, []

    async def serve(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        target = head[0].split(" ")[1]
        _, kind, number, size = target.split("/")
        number, size = int(number), int(size)
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if fields.get("x-id") != str(number):
            self.wrong.append(f"the head of {fields.get('x-id')} came with the target {target}")
        if kind == "upload":
            await self.upload(reader, fields, number, size)
            size = 100
        self.seen[kind] = self.seen.get(kind, 0) + 1
        return await self.answer(writer, kind, number, size)

    async def upload(self, reader, fields, number, size):
        content, position = Content(number), 0
        async for piece in body(reader, fields):
            if not content.holds(position, piece):
                self.wrong.append(f"the upload {number} has octets of another at {position}")
            position += len(piece)
        if position != size:
            self.wrong.append(f"the upload {number} is {position} octets and not {size}")

    async def answer(self, writer, kind, number, size):
        content = Content(number)
        framing = {"chunked": "Transfer-Encoding: chunked\r\n", "close": "Connection: close\r\n"}.get(
            kind, f"Content-Length: {size}\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nX-Id: {number}\r\n{framing}\r\n".encode())
        for piece in content.pieces(size):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if kind == "chunked" else piece)
            await writer.drain()
        if kind == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        if kind == "stale":
            await asyncio.sleep(random.random() * 0.02)
        return kind not in ("close", "stale")


async def body(reader, fields):
    if "content-length" in fields:
        left = int(fields["content-length"])
        while left:
            piece = await reader.read(min(left, BLOCK))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


async def main():
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"seen": origin.seen, "wrong": origin.wrong[:20]}), flush=True)
    sys.stdout.close()


if __name__ == "__main__":
    asyncio.run(main())
