# SPDX-License-Identifier: BSD-3-Clause
"""A network of namespaces for tests/packets, with meters outside of the server.

    server  other  client  stranger  attacker  victim      each has eth0, a veth pair
       |      |      |        |          |        |
       +------+------+---- br0 of lan ---+--------+        the meters are here

Every host's default route ends at the victim, and neighbours are static: an answer to whatever
address was spoofed is really emitted and crosses the bridge.  The kernel's own filters against
spoofed sources are off, so that the server's rules are measured and not the kernel's.

The namespaces have no names: they live as long as this process (or a server in them) holds them,
so that nothing can be left behind, not even after SIGKILL.  Root only; threads: one.
"""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import time

import packet

CLONE_NEWNET = 0x40000000
HOSTS = {  # last part of the addresses 10.77.0.N and fd77::N, and of the MAC address
    "victim": 1, "server": 2, "other": 4, "client": 5, "stranger": 6, "attacker": 7,
}
SERVER_SECOND = 3  # a second address of the server
ON_LINK = range(200, 204)  # addresses of nobody in the local prefix; answers reach the victim
CAPTURE_BYTES = 256 << 20
FRAGMENTS_S = 1
BATCH = 512  # packets per sendmmsg
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86dd
SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING = 263, 6, 23
SO_RCVBUFFORCE, SO_ATTACH_FILTER, SO_DETACH_FILTER = 33, 26, 27

libc = ctypes.CDLL(None, use_errno=True)


class Missing(Exception):
    """The machine cannot run these tests; the text says why."""


def checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class Namespace:
    """A network namespace held by a descriptor; `with` enters it (this thread, and children)."""

    def __init__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        checked(libc.unshare(CLONE_NEWNET), "unshare")
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        checked(libc.setns(self.home, CLONE_NEWNET), "setns")

    def __enter__(self):
        checked(libc.setns(self.fd, CLONE_NEWNET), "setns")
        return self

    def __exit__(self, *_):
        checked(libc.setns(self.home, CLONE_NEWNET), "setns")

    def close(self):
        os.close(self.fd)
        os.close(self.home)

    def run(self, program, text):
        """Run `program` inside with `text` as its input; returns its output."""
        with self:
            done = subprocess.run(program, input=text, capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(f"{' '.join(program)}: {done.stderr.strip()}")
        return done.stdout

    def sysctl(self, **values):
        """names with a double underscore for a slash, below /proc/sys/net"""
        with self:
            for name, value in values.items():
                with open("/proc/sys/net/" + name.replace("__", "/"), "w") as file:
                    file.write(str(value))


def mac(number):
    return b"\x02\x77\0\0\0" + bytes([number])


def mac_text(number):
    return mac(number).hex(":")


def address(host, family=4):
    """Of a host by its name, or by its number."""
    number = HOSTS.get(host, host)
    return f"10.77.0.{number}" if family == 4 else f"fd77::{number:x}"


# ── senders and taps ────────────────────────────────────────────────────────────────────────────


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_bytes", ctypes.c_uint32),
                ("iov", ctypes.POINTER(Iovec)), ("iov_count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_bytes", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("head", Msghdr), ("sent", ctypes.c_uint)]


class Wire:
    """Puts frames on a host's eth0, with whatever IP packet is in them."""

    def __init__(self, namespace, host):
        with namespace:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.bind(("eth0", 0))
        self.host = host

    def close(self):
        self.sock.close()

    def frame(self, ip_packet, target):
        """`target` is a host, or None for all of them."""
        kind = ETH_P_IPV6 if ip_packet[0] >> 4 == 6 else ETH_P_IP
        to = mac(HOSTS[target]) if target else b"\xff" * 6
        return to + mac(HOSTS[self.host]) + struct.pack("!H", kind) + ip_packet

    def send(self, packets, target="server"):
        self.send_frames([self.frame(ip_packet, target) for ip_packet in packets])

    def send_frames(self, frames):
        for start in range(0, len(frames), BATCH):
            part = frames[start:start + BATCH]
            self.send_batch(Batch(b"".join(part), [len(frame) for frame in part]))

    def send_batch(self, batch, count=None):
        """All of a batch, or its first `count` frames."""
        sendmmsg_all(self.sock.fileno(), batch.heads, count or len(batch.heads))


class Batch:
    """Frames that lie one behind the other in `buffer`, which may be changed between sends."""

    def __init__(self, data, lengths):
        self.buffer = ctypes.create_string_buffer(data, len(data))
        self.vectors, self.heads = (Iovec * len(lengths))(), (Mmsghdr * len(lengths))()
        place = ctypes.addressof(self.buffer)
        for vector, head, length in zip(self.vectors, self.heads, lengths):
            vector.base, vector.bytes = place, length
            head.head.iov = ctypes.pointer(vector)
            head.head.iov_count = 1
            place += length


def sendmmsg_all(fd, heads, count):
    done = 0
    while done < count:
        sent = libc.sendmmsg(fd, ctypes.byref(heads, done * ctypes.sizeof(Mmsghdr)),
                             count - done, 0)
        if sent <= 0:
            number = ctypes.get_errno()
            if number == 105:  # ENOBUFS: the queue of the device is full
                time.sleep(0.001)
                continue
            raise OSError(number, f"sendmmsg: {os.strerror(number)}")
        done += sent


class Tap:
    """Every IP packet that comes in by an interface; `frames` are taken off with `read`."""

    def __init__(self, namespace, interface):
        with namespace:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, CAPTURE_BYTES)
            self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.sock.bind((interface, ETH_P_ALL))
        self.sock.setblocking(False)

    def close(self):
        self.sock.close()

    def raw(self):
        """All that has come: bytes of IP packets."""
        got = []
        while True:
            try:
                frame, where = self.sock.recvfrom(65536)
            except BlockingIOError:
                return got
            if where[1] in (ETH_P_IP, ETH_P_IPV6):
                got.append(frame[14:])

    def read(self):
        """All that has come, but for the kernel's talk with its neighbours."""
        packets = [packet.parse(data) for data in self.raw()]
        return [p for p in packets if p.kind not in packet.NEIGHBOUR_TYPES or
                p.protocol != packet.ICMP6]

    def pause(self):
        """Take nothing until `resume`: for floods, of which the meters tell enough."""
        program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0
        self.sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                             struct.pack("HL", 1, ctypes.addressof(program)))

    def resume(self):
        self.sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        self.raw()

    def lost(self):
        """Packets that did not fit since this was last asked."""
        value = self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return struct.unpack("II", value)[1]


# ── meters ──────────────────────────────────────────────────────────────────────────────────────

METER = """
table bridge wire {{
{counters}
    chain in {{
        type filter hook postrouting priority 0
        oifname != "p-server" return
        ip6 nexthdr icmpv6 icmpv6 type 130-143 return
        ip6 nexthdr 0 return
        ether saddr {client} return
        ether saddr {stranger} return
        udp length 41-65535 counter name in_long
        {rules_in}
    }}
    chain out {{
        type filter hook prerouting priority 0
        iifname != "p-server" return
        ip6 nexthdr icmpv6 icmpv6 type 130-143 return
        ip6 nexthdr 0 return
        ether daddr {client} return
        ether daddr {stranger} return
        udp length 41-65535 counter name out_long
        {rules_out}
    }}
}}
"""
KINDS = {"udp": "meta l4proto udp", "tcp": "meta l4proto tcp",
         "icmp": "meta l4proto {icmp, ipv6-icmp}"}
# Those who are spoofed say nothing about it, and the attacker's own system neither.
MUTE = """
table inet mute {
    chain out {
        type filter hook output priority 0
        %s drop
    }
}
"""
MUTED = {"attacker": "meta length 0-65535", "victim": "meta length 0-65535",
         "other": "meta l4proto { icmp, ipv6-icmp }"}
LOOP = """
table inet loop {
    counter loop {
    }
    chain out {
        type filter hook output priority 0
        oifname "lo" udp sport 11211 counter name loop
    }
}
"""


class Meter:
    """Counters of nftables on the bridge, for the server's wire; IP bytes, by direction.

    `in_long` and `out_long` are datagrams of more than a HELLO's 40 bytes, UDP header included.
    What the client and the stranger send or get is not counted: they use the server as it is
    meant.  `loop` counts what the server sends to its own host (in its namespace, for it never
    leaves).
    """

    def __init__(self, lan, server):
        self.lan, self.server = lan, server
        names = [f"{way}_{kind}" for way in ("in", "out") for kind in [*KINDS, "all", "long"]]

        def rules(way):
            lines = [f"{test} counter name {way}_{kind}" for kind, test in KINDS.items()]
            return "\n        ".join(lines + [f"ether type {{ip, ip6}} counter name {way}_all"])
        lan.run(["nft", "-f", "-"], METER.format(
            counters="".join(f"    counter {name} {{\n    }}\n" for name in names),
            client=mac_text(HOSTS["client"]), stranger=mac_text(HOSTS["stranger"]),
            rules_in=rules("in"), rules_out=rules("out")))
        server.run(["nft", "-f", "-"], LOOP)

    def _counters(self, verb):
        found = {}
        for namespace in (self.lan, self.server):
            text = namespace.run(["nft", "-j", verb, "counters"], "")
            for row in json.loads(text)["nftables"]:
                if "counter" in row:
                    counter = row["counter"]
                    found[counter["name"]] = (counter["packets"], counter["bytes"])
        return found

    def reset(self):
        self._counters("reset")

    def read(self):
        """{"in_udp": (packets, bytes), ...}"""
        return self._counters("list")

    def settle(self, quiet_s=0.1):
        """Wait until nothing has come out for a while."""
        before = self.read()["out_all"]
        while True:
            time.sleep(quiet_s)
            now = self.read()["out_all"]
            if now == before:
                return
            before = now


# ── the whole ───────────────────────────────────────────────────────────────────────────────────


class Lab:
    """All hosts and what measures them.  Raises Missing where the machine cannot."""

    def __init__(self):
        self.close_later = contextlib.ExitStack()
        for need in ("ip", "nft"):
            if not shutil.which(need, path="/usr/sbin:/sbin:/usr/bin:/bin"):
                raise Missing(f"the program {need} is not installed")
        if os.geteuid() != 0:
            raise Missing("needs root, for namespaces and raw sockets")
        try:
            probe = self._keep(Namespace())
            probe.run(["ip", "-batch", "-"], "link add br0 type bridge\n"
                      "link add veth0 type veth peer name veth1\n")
            probe.run(["nft", "-f", "-"], "add table bridge probe\nadd table inet probe\n")
        except OSError as error:
            self.close()
            raise Missing(f"no namespaces, bridges or counters to be had: {error}") from error
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _keep(self, thing):
        self.close_later.callback(thing.close)
        return thing

    def _build(self):
        self.hosts = {host: self._keep(Namespace()) for host in HOSTS}
        self.lan = self._keep(Namespace())
        lines = ["link set lo up",
                 "link add br0 type bridge stp_state 0 mcast_snooping 0 ageing_time 360000"]
        for host, namespace in self.hosts.items():
            number = HOSTS[host]
            lines.append(f"link add p-{host} type veth peer name eth0 address {mac_text(number)} "
                         f"netns {namespace.path}")
            lines.append(f"link set p-{host} master br0 up")
        self.lan.sysctl(ipv6__conf__default__disable_ipv6=1)
        self.lan.run(["ip", "-batch", "-"], "\n".join(lines + ["link set br0 up"]) + "\n")
        for host, namespace in self.hosts.items():
            self._host(host, namespace)
        self.meter = Meter(self.lan, self.hosts["server"])
        for host, what in MUTED.items():
            self.hosts[host].run(["nft", "-f", "-"], MUTE % what)
        self.attacker = self._keep(Wire(self.hosts["attacker"], "attacker"))
        self.tap = self._keep(Tap(self.lan, "p-server"))
        with self.hosts["server"]:
            self.snmp = [self._keep(open(f"/proc/thread-self/net/{name}"))
                         for name in ("snmp", "snmp6")]

    def _host(self, host, namespace):
        number = HOSTS[host]
        namespace.sysctl(**{
            "ipv4__conf__all__rp_filter": 0, "ipv4__conf__default__rp_filter": 0,
            "ipv4__conf__all__accept_local": 1, "ipv4__conf__all__route_localnet": 1,
            "ipv4__conf__all__send_redirects": 0, "ipv6__conf__all__accept_ra": 0,
            "ipv6__conf__default__accept_ra": 0, "ipv6__conf__default__accept_dad": 0,
            "ipv6__conf__default__router_solicitations": 0,
            "ipv6__conf__default__autoconf": 0, "ipv4__icmp_echo_ignore_broadcasts": 0,
        })
        if host == "server":  # after so many seconds the kernel gives up a datagram of fragments
            namespace.sysctl(ipv4__ipfrag_time=FRAGMENTS_S, ipv6__ip6frag_time=FRAGMENTS_S)
        lines = ["link set lo up", "link set eth0 gso_max_segs 1 up"]
        own = [number] + ([SERVER_SECOND] if host == "server" else [])
        for n in own:
            lines.append(f"address add 10.77.0.{n}/24 brd 10.77.0.255 dev eth0")
            lines.append(f"address add fd77::{n:x}/64 dev eth0 nodad")
        near = {n: n for n in HOSTS.values() if n != number}
        near.update({n: HOSTS["victim"] for n in ON_LINK})
        if host != "server":
            near[SERVER_SECOND] = HOSTS["server"]
        for n, owner in near.items():
            for family in (4, 6):
                lines.append(f"neighbour replace {address(n, family)} lladdr {mac_text(owner)} "
                             "dev eth0 nud permanent")
        if host != "victim":
            lines.append("route add default via 10.77.0.1 dev eth0")
            lines.append("route add ::/0 via fd77::1 dev eth0")
        else:  # the sink of what was spoofed says nothing about it
            lines += ["route add blackhole default", "route add blackhole ::/0"]
        namespace.run(["ip", "-batch", "-"], "\n".join(lines) + "\n")
        hello = Wire(namespace, host)  # the bridge learns who is where, and floods nothing
        hello.send_frames([b"\xff" * 6 + mac(number) + b"\x88\xb5" + bytes(46)])
        hello.close()

    def close(self):
        self.close_later.close()

    def udp_counts(self):
        """What the server's kernel did with datagrams, both families together: {name: count}.

        InDatagrams are those that a program has read.
        """
        found = dict.fromkeys(("InDatagrams", "NoPorts", "InErrors"), 0)
        for file in self.snmp:
            file.seek(0)
        rows = [line.split()[1:] for line in self.snmp[0] if line.startswith("Udp:")]
        pairs = list(zip(rows[0], rows[1]))
        pairs += [line.removeprefix("Udp6").split() for line in self.snmp[1]
                  if line.startswith("Udp6")]
        for name, value in pairs:
            if name in found:
                found[name] += int(value)
        return found
