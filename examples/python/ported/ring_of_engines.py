"""Engines that talk to each other: sockets between neighbours, arranged through the client.

Scatter and gather go between client and engines only; what engines exchange among themselves goes by a
connection of their own. Here each engine opens a socket and tells the client where, the client tells the
neighbours, and numbers travel round the ring without passing the client: a sum for all, and a heat
equation whose edges are exchanged in each step.

    python examples/python/ported/ring_of_engines.py
"""

import phalanx as ipp

STEPS = 40
POINTS = 48


class Ring:
    """An engine's two connections: one from its left neighbour, one to its right."""

    def __init__(self, rank, size):
        import socket

        self.rank, self.size = rank, size
        self.listener = socket.create_server(("127.0.0.1", 0))

    @property
    def address(self):
        """Where the left neighbour is to connect to."""
        return self.listener.getsockname()

    def connect(self, addresses):
        """Connects to the right neighbour, then takes the left one in."""
        import socket

        self.right = socket.create_connection(addresses[(self.rank + 1) % self.size])
        self.left, _ = self.listener.accept()
        for end in (self.left, self.right):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shift(self, value, to_right=True):
        """Gives a number to one neighbour; the number of the other."""
        import struct

        out, into = (self.right, self.left) if to_right else (self.left, self.right)
        out.sendall(struct.pack("d", value))
        return struct.unpack("d", into.recv(8, socket_wait_all()))[0]

    def all_sum(self, value):
        """The sum of everybody's number, at everybody."""
        total = passing = value
        for _ in range(self.size - 1):
            passing = self.shift(passing)
            total += passing
        return total


def socket_wait_all():
    """The flag by which `recv` waits for all that was asked for."""
    import socket

    return socket.MSG_WAITALL


def heat(steps):
    """On the engine: steps of the heat equation on a ring of points, of which it has a part."""
    global u
    for _ in range(steps):
        from_left = com.shift(u[-1], to_right=True)
        from_right = com.shift(u[0], to_right=False)
        wide = [from_left, *u, from_right]
        u = [
            wide[i] + 0.25 * (wide[i - 1] - 2 * wide[i] + wide[i + 1]) for i in range(1, len(u) + 1)
        ]
    return com.all_sum(sum(u))


def serial(u, steps):
    """The same by one process."""
    n = len(u)
    for _ in range(steps):
        u = [u[i] + 0.25 * (u[i - 1] - 2 * u[i] + u[(i + 1) % n]) for i in range(n)]
    return u


def main():
    """Makes the ring, adds up, lets the heat spread, and compares."""
    with ipp.Cluster(n=4) as rc:
        view = rc[:]
        view.block = True
        view.push({"Ring": Ring, "socket_wait_all": socket_wait_all, "size": len(rc)})
        view.scatter("rank", list(range(len(rc))), flatten=True)
        view.execute("com = Ring(rank, size)")
        addresses = view["com.address"]
        assert len(set(addresses)) == 4
        # Each engine waits for its neighbour here: all of them run at the same time.
        view.apply(lambda where: com.connect(where), addresses)

        sums = view.apply(lambda: com.all_sum(2.0**rank))
        assert sums == [15.0] * 4, sums
        print(f"sum round the ring: {sums[0]}")

        start = [0.0] * POINTS
        start[3] = 100.0
        view.scatter("u", start)
        totals = view.apply_async(heat, STEPS).get(timeout=60)
        u = view.gather("u")
        assert all(abs(total - 100) < 1e-9 for total in totals), "no heat is lost"
        assert list(u) == serial(start, STEPS)
        warmest = max(range(POINTS), key=list(u).__getitem__)
        print(f"after {STEPS} steps the warmest point is {warmest}, at {max(u):.2f} degrees")
        view.execute("com.left.close(); com.right.close(); com.listener.close()")


if __name__ == "__main__":
    main()
