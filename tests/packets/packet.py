# SPDX-License-Identifier: BSD-3-Clause
"""Packets for tests/packets, built and read by hand: IPv4, IPv6, UDP, TCP, fragments.

Addresses are text ("192.0.2.1", "2001:db8::1"); a packet is bytes that begin with the IP header.
Anything may be wrong on purpose.  Knows no sockets and no pytest.
"""

import collections
import socket
import struct

ICMP, TCP, UDP, ICMP6, FRAGMENT6 = 1, 6, 17, 58, 44
IP4_BYTES, IP6_BYTES, UDP_BYTES = 20, 40, 8
NEIGHBOUR_TYPES = range(130, 144)  # ICMPv6 of neighbour discovery and multicast listeners


def raw(address):
    """The 4 or 16 bytes of a text address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def text(data):
    """An address as text, in its one usual form."""
    return socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data)


def family(address):
    return 6 if ":" in address else 4


def ones_sum(data):
    """The ones' complement sum of 16-bit words."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def ip4(source, target, payload, protocol=UDP, ident=0, fragment=0, ttl=64, options=b""):
    """`fragment` is the 16-bit word of flags and offset (in units of 8 bytes)."""
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), 0,
                       20 + len(options) + len(payload), ident, fragment, ttl, protocol, 0,
                       raw(source), raw(target)) + options
    check = 0xffff - ones_sum(head)
    return head[:10] + struct.pack("!H", check) + head[12:] + payload


def ip6(source, target, payload, protocol=UDP, hops=64):
    return struct.pack("!IHBB16s16s", 0x60000000, len(payload), protocol, hops,
                       raw(source), raw(target)) + payload


def ip(source, target, payload, protocol=UDP):
    return (ip6 if family(target) == 6 else ip4)(source, target, payload, protocol)


def pseudo(source, target, length, protocol):
    """What the checksum of UDP and TCP covers beside the datagram."""
    if family(target) == 6:
        return raw(source) + raw(target) + struct.pack("!II", length, protocol)
    return raw(source) + raw(target) + struct.pack("!HH", protocol, length)


def udp_body(source, target, sport, dport, payload, length=None, check=None):
    """UDP header and payload, as they lie behind the IP header."""
    length = UDP_BYTES + len(payload) if length is None else length
    head = struct.pack("!HHHH", sport, dport, length, 0)
    if check is None:
        covered = pseudo(source, target, UDP_BYTES + len(payload), UDP)
        check = 0xffff - ones_sum(covered + head + payload) or 0xffff
    return head[:6] + struct.pack("!H", check) + payload


def udp(source, target, sport, dport, payload, **wrong):
    return ip(source, target, udp_body(source, target, sport, dport, payload, **wrong))


def tcp(source, target, sport, dport, flags, sequence=1, ack=0, payload=b""):
    """`flags`: 2 is SYN, 4 RST, 16 ACK."""
    head = struct.pack("!HHIIBBHHH", sport, dport, sequence, ack, 5 << 4, flags, 65535, 0, 0)
    covered = pseudo(source, target, len(head) + len(payload), TCP)
    check = 0xffff - ones_sum(covered + head + payload)
    head = head[:16] + struct.pack("!H", check) + head[18:]
    return ip(source, target, head + payload, TCP)


def fragment(source, target, body, start, end, more, ident):
    """The piece body[start:end] as a fragment; `start` is a multiple of 8."""
    if family(target) == 4:
        word = (0x2000 if more else 0) | start // 8
        return ip4(source, target, body[start:end], UDP, ident, word)
    head = struct.pack("!BBHI", UDP, 0, start | bool(more), ident)
    return ip6(source, target, head + body[start:end], FRAGMENT6)


Packet = collections.namedtuple("Packet", "bytes source target protocol sport dport payload kind")


def parse(data):
    """What the tap saw; ports are None but for UDP and TCP, `kind` is the type of ICMP."""
    if data[0] >> 4 == 6:
        length = IP6_BYTES + struct.unpack_from("!H", data, 4)[0]
        protocol, start = data[6], IP6_BYTES
        source, target = data[8:24], data[24:40]
        if protocol == 0:  # hop-by-hop, of multicast listener reports
            protocol, start = data[40], IP6_BYTES + 8 + 8 * data[41]
    else:
        length = struct.unpack_from("!H", data, 2)[0]
        protocol, start = data[9], (data[0] & 15) * 4
        source, target = data[12:16], data[16:20]
        if struct.unpack_from("!H", data, 6)[0] & 0x1fff:
            protocol = None  # a later fragment
    source, target = text(source), text(target)
    sport = dport = kind = None
    payload = data[start:length]
    if protocol in (UDP, TCP) and len(payload) >= (UDP_BYTES if protocol == UDP else 20):
        sport, dport = struct.unpack_from("!HH", payload)
        skip = UDP_BYTES if protocol == UDP else (payload[12] >> 4) * 4
        payload = payload[skip:]
    elif protocol in (ICMP, ICMP6) and payload:
        kind = payload[0]
    return Packet(length, source, target, protocol, sport, dport, payload, kind)
