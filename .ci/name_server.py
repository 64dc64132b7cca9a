"""A name server for tests: every name that ends with .hitl.test is 127.0.0.1, and nothing else exists."""

import contextlib
import socket
import struct
import threading

SUFFIX = ".hitl.test"
# A loopback address of its own: many machines have a resolver at 127.0.0.1 or 127.0.0.53.
ADDRESS = ("127.53.53.53", 53)
A = 1
NO_SUCH_NAME = 3


class Unavailable(Exception):
    """Port 53 is not to be had on this machine."""


@contextlib.contextmanager
def serving():
    """Serves, and gives the set of the names that were asked for."""
    asked = set()
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind(ADDRESS)
    except OSError as error:
        listener.close()
        raise Unavailable(f"{ADDRESS[0]}:{ADDRESS[1]}: {error}") from error
    threading.Thread(target=serve, args=(listener, asked), daemon=True).start()
    try:
        yield asked
    finally:
        listener.close()


def serve(listener, asked):
    while True:
        try:
            query, caller = listener.recvfrom(512)
            listener.sendto(answer(query, asked), caller)
        except OSError:
            return


def answer(query, asked):
    """The answer to one question (RFC 1035, section 4)."""
    name, end = question(query)
    kind = struct.unpack_from(">H", query, end)[0]
    is_known = name.endswith(SUFFIX)
    if is_known:
        asked.add(name)
    records = b""
    if is_known and kind == A:
        # The name by a pointer to the question, class IN, no time to live.
        records = struct.pack(">HHHIH", 0xC00C, A, 1, 0, 4) + socket.inet_aton("127.0.0.1")
    flags = 0x8580 | (0 if is_known else NO_SUCH_NAME)
    header = query[:2] + struct.pack(">HHHHH", flags, 1, bool(records), 0, 0)
    return header + query[12 : end + 4] + records


def question(query):
    """The name that is asked for, and where it ends."""
    labels, at = [], 12
    while query[at]:
        length = query[at]
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels).lower(), at + 1
