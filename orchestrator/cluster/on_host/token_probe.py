"""Sends one gRPC call over a plain socket: does the port answer without the token?

The client of the pinned Ray always sends its token, and grpcio is not installed on hosts.

Usage: token_probe.py HOST PORT METHOD [TOKEN]    prints `data`, `no data` or `closed`
"""

import socket
import struct
import sys

DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def header(name: str, value: str) -> bytes:
    """A literal header field, never indexed, without Huffman code; both under 127 bytes."""
    return b"\x10" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def request(host: str, method: str, token: str | None) -> bytes:
    """A unary call with an empty message."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": host,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    if token is not None:
        fields["authorization"] = f"Bearer {token}"
    head = b"".join(header(name, value) for name, value in fields.items())
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(SETTINGS, 0, 0, b"")
        + frame(HEADERS, END_HEADERS, 1, head)
        + frame(DATA, END_STREAM, 1, bytes(5))
    )


def ask(host: str, port: int, method: str, token: str | None) -> str:
    """What the server sends on the call's stream: `data`, `no data`, or `closed`.

    Raises:
        OSError: No program listens there.
    """
    found = "no data"
    with socket.create_connection((host, port), 5) as connection:
        connection.settimeout(10)
        stream = connection.makefile("rwb")
        stream.write(request(host, method, token))
        stream.flush()
        while True:
            start = stream.read(9)
            if len(start) < 9:
                return "closed"
            kind, flags = start[3], start[4]
            payload = stream.read(int.from_bytes(start[:3], "big"))
            if kind in (SETTINGS, PING) and not flags & ACK:
                stream.write(frame(kind, ACK, 0, payload if kind == PING else b""))
                stream.flush()
            if kind == DATA:
                found = "data"
            if kind == GOAWAY or (kind in (HEADERS, DATA) and flags & END_STREAM):
                return found


if __name__ == "__main__":
    print(ask(sys.argv[1], int(sys.argv[2]), sys.argv[3], next(iter(sys.argv[4:]), None)))
