"""A server with one thread, 1.5 ms a request, that freezes for a second every so often and writes down what it did.

    stall_server.py PORT LOG FIRST_FREEZE_S EVERY_S

The schedule of freezes starts with the first request. At SIGTERM it writes LOG: `{"served": [[start_s, end_s], …], "freezes": [[…]]}`.
"""

import json
import selectors
import signal
import socket
import sys
import time

DEMAND_S = 0.0014
FREEZE_S = 1.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
HEAD_BYTES_MAX = 64 * 1024


class Stall:
    def __init__(self, first_s: float, every_s: float):
        self.first_s, self.every_s = first_s, every_s
        self.next_freeze: float | None = None
        self.served: list[tuple[float, float]] = []
        self.freezes: list[tuple[float, float]] = []

    def freeze_if_due(self):
        if self.next_freeze is not None and time.monotonic() >= self.next_freeze:
            begin = time.monotonic()
            time.sleep(FREEZE_S)
            self.freezes.append((begin, time.monotonic()))
            self.next_freeze += self.every_s

    def serve(self, connection: socket.socket):
        """One request: the time it takes is slept, so that the core is left to whoever shares it."""
        self.freeze_if_due()
        begin = time.monotonic()
        if self.next_freeze is None:
            self.next_freeze = begin + self.first_s
        time.sleep(DEMAND_S)
        connection.sendall(ANSWER)
        self.served.append((begin, time.monotonic()))

    def run(self, listener: socket.socket):
        ready = selectors.DefaultSelector()
        ready.register(listener, selectors.EVENT_READ, None)
        while True:
            self.freeze_if_due()
            wait = None if self.next_freeze is None else max(0.0, self.next_freeze - time.monotonic())
            for key, _ in ready.select(wait):
                if key.data is None:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ready.register(connection, selectors.EVENT_READ, bytearray())
                    continue
                self.read(ready, key.fileobj, key.data)

    def read(self, ready, connection: socket.socket, head: bytearray):
        try:
            got = connection.recv(HEAD_BYTES_MAX)
            head += got
            while (end := head.find(b"\r\n\r\n")) >= 0:
                close = b"connection: close" in bytes(head[:end]).lower()
                del head[: end + 4]
                self.serve(connection)
                got = b"" if close else got
        except OSError:
            got = b""
        if not got or len(head) > HEAD_BYTES_MAX:
            ready.unregister(connection)
            connection.close()


def main():
    port, log, first_s, every_s = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    stall = Stall(first_s, every_s)
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener:
        try:
            stall.run(listener)
        finally:
            with open(log, "w") as file:
                json.dump({"served": stall.served, "freezes": stall.freezes}, file)


if __name__ == "__main__":
    main()
