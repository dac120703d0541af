# SPDX-License-Identifier: BSD-3-Clause
"""What an attacker sends: each function makes a list of packets for an Aim (scene.py).

ATTACKS has those whose packets all reach the server's socket and that nobody unproven may gain
anything from; SILENT those that must not be answered at all.  Sources are spoofed, one per packet,
unless the attack is about the source.
"""

import random
import re
import struct

import binary
import harness
import packet
import rr

ATTACKS, SILENT = {}, {}
REFLECTOR_PORTS = (0, 7, 17, 19, 53, 69, 111, 123, 137, 161, 389, 1900, 5353, 11211)
PAYLOAD_BYTES_MAX = 1400
NONCE = b"attacker"
ID = 0x4d41


def attack(function):
    """May be answered, by no more than was sent."""
    ATTACKS[function.__name__] = function
    return function


def silent(function):
    """May not be answered."""
    SILENT[function.__name__] = function
    return function


# ── the ways to wrap a request ──────────────────────────────────────────────────────────────────


def legacy(request, **wrong):
    return rr.header(ID, rr.LEGACY, **wrong) + request


def hello(request=b"", **wrong):
    return rr.header(ID, rr.HELLO, **wrong) + rr.extension(NONCE) + request


def proven(request, stamp=None, mac=b"\xde\xad\xbe\xef" * 2, **wrong):
    """With a cookie that is nobody's."""
    stamp = rr.now() if stamp is None else stamp
    return rr.header(ID, rr.PROVEN, **wrong) + rr.extension(NONCE, stamp, mac) + request


WRAPPERS = (legacy, hello, proven)


def wrapped(requests):
    return [wrap(request) for request in requests for wrap in WRAPPERS]


def cut(payloads):
    return [payload[:PAYLOAD_BYTES_MAX] for payload in payloads]


# ── requests ────────────────────────────────────────────────────────────────────────────────────


def verbs():
    """Every command's word, of ours and of memcached's, from the table."""
    rows = (harness.ROOT / "src/tbl/commands.def").read_text()
    found = {word.encode() for word in re.findall(r'^COMMAND\(\w+,\s*"(\w+)"', rows, re.M)}
    found |= {b"stats", b"version", b"verbosity", b"config", b"debugitem", b"flush_all", b"quit",
              b"slabs", b"lru_crawler", b"watch", b"shutdown", b"refresh_certs", b"GET", b"HELP"}
    return sorted(found)


TAILS = (b"", b" secret", b" secret 0 0 3\r\nxyz", b" secret 3\r\nxyz", b" number 1",
         b" secret v k f c t q O1", b" settings", b" items", b" 0", b" all", b" cachedump 1 0",
         b" metadump all", b" fetchers mutations", b" get cluster", b" secret secret secret",
         b" 0 secret", b" secret 0", b" noreply", b" secret 0 0 3 noreply\r\nxyz")


@attack
def text_verbs(aim):
    """Every verb with every kind of argument, each way."""
    return aim.all(wrapped(verb + tail + b"\r\n" for verb in verbs() for tail in TAILS))


@attack
def binary_opcodes(aim):
    """Every opcode, with and without what belongs to it."""
    requests = []
    for opcode in range(256):
        requests += [
            binary.request(opcode), binary.request(opcode, b"secret"),
            binary.store(opcode, b"secret", b"xyz"), binary.arith(opcode, b"number"),
            binary.request(opcode, b"settings", opaque=0xffffffff),
        ]
    return aim.all(wrapped(requests))


@attack
def repeated_keys(aim):
    """From 1 to 690 keys, the largest datagrams that there are."""
    payloads = []
    for count in [1, 2, 3, 10, 63, 64, 65, 100, 300, 690]:
        for verb in (b"get", b"gets", b"gat 0", b"gats 0"):
            for key in (b"b", b"big", b"secret"):
                payloads.append(verb + b" " + key.join([b" "] * count).strip() + b"\r\n")
                payloads.append(verb + (b" " + key) * count + b"\r\n")
        payloads.append(b"mg big v\r\n" * count + b"mn\r\n")
        payloads.append(binary.request("getkq", b"big") * count + binary.request("noop"))
    return aim.all(p for p in wrapped(payloads) if len(p) <= PAYLOAD_BYTES_MAX + 8)


@attack
def large_value(aim):
    return aim.all(wrapped([b"get big\r\n", b"gets big\r\n", b"gat 0 big\r\n",
                            b"mg big v k f t\r\n", b"get big big\r\n",
                            binary.request("get", b"big"), binary.request("getk", b"big"),
                            binary.touch("gat", b"big", 0)]) * 5)


@attack
def short_datagrams(aim):
    """Each length from 0 to 40, of zeros, ones, and of what would be right if it were whole."""
    wholes = [bytes(40), b"\xff" * 40, legacy(b"get secret\r\n" + bytes(24)), hello(b"get s\r\n\0"),
              proven(b"get s\r\n\0"), b"get secret\r\n" * 4, b"\x80" + bytes(39),
              rr.header(ID, rr.CHALLENGE) + rr.extension(NONCE) + b"get s\r\n\0",
              rr.header(ID, rr.FRESH) + rr.extension(NONCE) + b"get s\r\n\0"]
    return aim.all(whole[:length] for whole in wholes for length in range(41))


@attack
def sequence_and_total(aim):
    """One part of several, the second of one, none of none."""
    numbers = (0, 1, 2, 3, 255, 256, 0x7fff, 0x8000, 0xffff)
    return aim.all(wrap(b"get secret\r\n", sequence=sequence, total=total) for wrap in WRAPPERS
                   for sequence in numbers for total in numbers if (sequence, total) != (0, 1))


@attack
def reserved_values(aim):
    """All of 0xceXX, every single bit, and some of each byte; with an extension and without."""
    values = {0xce00 + n for n in range(256)} | {1 << n for n in range(16)}
    values |= {n << 8 for n in range(256)} | set(range(256)) | {0xffff, 0x01ce, 0x03ce, 0xec03}
    values -= {rr.HELLO, rr.LEGACY, rr.PROVEN}
    return aim.all(rr.header(ID, value) + middle + b"get secret\r\n" for value in sorted(values)
                   for middle in (b"", rr.extension(NONCE)))


@attack
def extensions(aim):
    """Every version, each zero byte, each length of the extension."""
    payloads = []
    for kind in (rr.HELLO, rr.PROVEN):
        head = rr.header(ID, kind)
        good = rr.extension(NONCE, rr.now(), b"12345678")
        for place in range(8, 12):
            for value in (0, 1, 2, 127, 128, 255):
                wrong = good[:place] + bytes([value]) + good[place + 1:]
                payloads += [head + wrong, head + wrong + b"get secret\r\n"]
        payloads += [head + good[:length] for length in range(25)]
    payloads += [hello(bytes(n)) for n in (1, 7, 100, 1000, 1400)]
    payloads += [rr.header(ID, rr.HELLO) + rr.extension(NONCE, stamp, mac)
                 for stamp in (0, 1, rr.now(), 0xffffffff) for mac in (bytes(8), b"\xff" * 8)]
    return aim.all(payloads)


@attack
def split_sets(aim):
    """A set in two datagrams, the second of somebody else; in either order."""
    first, second = b"set secret 0 0 20\r\n0123456789", b"9876543210\r\n"
    packets = []
    for wrap in WRAPPERS:
        for total, sequences in ((1, (0, 0)), (2, (0, 1)), (2, (1, 0))):
            source = aim.source()
            for other in (source, aim.source()):
                packets += [aim.udp(wrap(first, sequence=sequences[0], total=total), source),
                            aim.udp(wrap(second, sequence=sequences[1], total=total), other)]
    return packets * 4


@attack
def lengths_never_arrive(aim):
    """Values that are announced and not sent, up to 2^64."""
    lengths = (4, 100, 1399, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
               (1 << 63) - 1, (1 << 64) - 1, 1 << 70, -1, -2)
    requests = [b"%s secret 0 0 %d\r\nabc" % (verb, length) for length in lengths
                for verb in (b"set", b"add", b"append", b"prepend", b"replace")]
    requests += [b"ms secret %d\r\nabc" % length for length in lengths]
    requests += [b"cas secret 0 0 %d 1\r\nabc" % length for length in lengths]
    for size in (1, 100, 0x7fffffff, 0x80000000, 0xffffffff):
        requests += [binary.store("set", b"secret", b"abc", body_bytes=size),
                     binary.request("get", b"secret", body_bytes=size),
                     binary.request("get", b"secret", key_bytes=min(size, 0xffff)),
                     binary.request("set", b"secret", extras_bytes=255, body_bytes=size)]
    return aim.all(wrapped(requests))


@attack
def unfinished_lines(aim):
    """No end of line, or none within the datagram; NUL and other bytes in the middle."""
    requests = [b"get secret", b"get secret\r", b"get " + b"k" * 1300, b"g", b"\n", b"\r\n",
                b"get secret\0\r\n", b"get \xff\xfe\r\n", b"get secret\r\n\0", b"get secret\r\nx",
                b"get secret\r\nget secret\r\n", b"x" * 1300, b"get " + b" " * 1300 + b"\r\n",
                b"set secret 0 0 3\r\nxyzw\r\n", b"set secret 0 0 3\r\nxy\r\n"]
    return aim.all(wrapped(requests))


@attack
def binary_floods(aim):
    """Two thousand binary requests at once, half of them with a body of garbage."""
    rng = random.Random(20)
    return aim.all(wrapped(binary.request(rng.randrange(37), b"secret", rng.randbytes(30 * (i % 2)))
                           for i in range(700)))


@attack
def floods_from_one_source(aim):
    """A thousand of each kind from the same address and port."""
    return aim.all([hello(), proven(b"get secret\r\n"), legacy(b"get secret\r\n")] * 1000,
                   source=aim.source())


@silent
def answers(aim):
    """Payloads that begin as a server's answers do, and kinds that only servers send."""
    texts = [b"VALUE secret 0 3\r\nxyz\r\nEND\r\n", b"END\r\n", b"STORED\r\n", b"NOT_STORED\r\n",
             b"EXISTS\r\n", b"NOT_FOUND\r\n", b"DELETED\r\n", b"TOUCHED\r\n", b"OK\r\n",
             b"STAT pid 1\r\n", b"ERROR\r\n", b"CLIENT_ERROR bad command line format\r\n",
             b"SERVER_ERROR out of memory\r\n", b"SERVER_ERROR use TCP\r\n", b"HD\r\n",
             b"HD Oabc\r\n", b"VA 3 f0\r\nxyz\r\n", b"EN\r\n", b"NF\r\n", b"NS\r\n", b"EX\r\n",
             b"MN\r\n", b"VERSION 1.6.45\r\n", b"\x81" + bytes(23), b"\x81\x00\x00\x00" + bytes(30)]
    # As CHALLENGE or FRESH nothing is answered; as HELLO or PROVEN what R3 names is not.
    named = (b"VALUE", b"END", b"STORED", b"STAT", b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR",
             b"HD", b"VA", b"EN", b"\x81")
    payloads = []
    for text in texts:
        payloads.append(legacy(text))
        if text.startswith(named):
            payloads += [hello(text), proven(text)]
        for kind in (rr.CHALLENGE, rr.FRESH):
            payloads += [rr.header(ID, kind) + rr.extension(NONCE, rr.now(), b"12345678") + text,
                         rr.header(ID, kind) + text]
    return aim.all(payloads)


@silent
def reflector_ports(aim):
    """A source port that is another service's: whoever answers would start a conversation."""
    return [aim.udp(payload, sport=port) for port in REFLECTOR_PORTS
            for payload in wrapped([b"get secret\r\n", b"version\r\n"])]


# ── what the kernel may refuse itself ───────────────────────────────────────────────────────────

BAD_SOURCES = {
    4: ("0.0.0.0", "255.255.255.255", "10.77.0.255", "10.77.0.0", "224.0.0.1",
        "239.255.255.250", "127.0.0.1", "127.1.2.3", "10.77.0.2", "10.77.0.3"),
    6: ("::", "::1", "ff02::1", "ff02::fb", "ff0e::1", "fd77::2", "fd77::3", "::ffff:10.77.0.2",
        "::ffff:127.0.0.1", "::ffff:198.18.0.1"),
}
ODD_SOURCES = {4: ("0.1.2.3", "240.0.0.1", "169.254.7.7", "192.0.0.8"),
               6: ("::127.0.0.1", "64:ff9b::7f00:1", "fe80::7", "100::1", "fec0::1")}
GROUP_TARGETS = {
    4: ("255.255.255.255", "10.77.0.255", "10.77.0.0", "224.0.0.1", "239.1.2.3"),
    6: ("ff02::1", "ff01::1", "ff05::1", "ff0e::1", "ff02::1:ff00:2", "::1", "::"),
}
ASKED = (hello(), hello(b"get secret\r\n"), proven(b"get secret\r\n"), legacy(b"get secret\r\n"),
         legacy(b"stats\r\n"))


def bad_sources(aim):
    """Addresses of the server itself, and such as no single host has."""
    return [aim.udp(payload, source, sport) for source in BAD_SOURCES[aim.family]
            for payload in ASKED for sport in (40000, 11211)]


def odd_sources(aim):
    """Addresses that hosts of the Internet do not have."""
    return [aim.udp(payload, source, sport) for source in ODD_SOURCES[aim.family]
            for payload in ASKED for sport in (40000, 11211)]


def group_targets(aim):
    """Sent to everybody at once."""
    return [aim.udp(payload, target=target) for target in GROUP_TARGETS[aim.family]
            for payload in ASKED]


def broken_packets(aim):
    """Wrong checksums and lengths, options of IP, the last hop."""
    body = hello(b"get secret\r\n")
    packets = [aim.udp(body, check=check) for check in (0, 1, 0xffff)]
    packets += [aim.udp(body, length=length) for length in (0, 7, 8, 9, 40, 51, 53, 1000, 65535)]
    source = aim.source()
    whole = packet.udp_body(source, aim.target, 40000, aim.port, body)
    packets += [packet.ip(source, aim.target, whole[:length]) for length in range(len(whole))]
    if aim.family == 4:
        for options in (b"\x01" * 4, b"\x44\x04\x05\x00", b"\x07\x07\x04\0\0\0\0\0",
                        b"\x83\x07\x04" + packet.raw("198.18.9.9") + b"\0"):
            packets.append(packet.ip4(source, aim.target, whole, options=options))
        packets.append(packet.ip4(source, aim.target, whole, ttl=1))
    else:
        packets.append(packet.ip6(source, aim.target, whole, hops=1))
    return packets


def what_the_kernel_refuses(aim):
    """Malformed below UDP in ways that the standards want answered by ICMP."""
    body = packet.udp_body(aim.source(), aim.target, 40000, aim.port, bytes(100))
    if aim.family == 4:
        return [packet.ip4(aim.source(), aim.target, body, options=b"\xff" * 40),
                packet.ip4(aim.source(), aim.target, body, protocol=253)]
    unknown = struct.pack("!BBHI", packet.UDP, 0, 0xbe02, 0)  # an option that must be refused
    return [packet.ip6(aim.source(), aim.target, unknown + body, protocol=60),
            packet.ip6(aim.source(), aim.target, body, protocol=253)]


def fragments(aim):
    """HELLO and get in pieces: whole, backwards, without one, overlapping, twice."""
    packets = []
    for ident, payload in enumerate([hello(bytes(40)), legacy(b"get" + b" secret" * 40 + b"\r\n"),
                                     hello(b"x" * 1300), proven(b"get secret\r\n" * 3)] * 3):
        source = aim.source()
        body = packet.udp_body(source, aim.target, 40000, aim.port, payload)

        def piece(start, end, more, n):
            return packet.fragment(source, aim.target, body, start, end, more, n)
        last = (len(body) - 1) // 8 * 8
        whole = [piece(at, min(at + 8, len(body)), at < last, ident * 16 + 1)
                 for at in range(0, len(body), 8)]
        packets += whole + whole[::-1]
        packets += [piece(16, len(body), False, ident * 16 + 2)]  # the first never comes
        packets += [piece(0, 24, True, ident * 16 + 4), piece(16, 32, True, ident * 16 + 4),
                    piece(8, len(body), False, ident * 16 + 4)]
    return packets


def icmp_errors(aim):
    """Errors about answers that the server may or may not have sent, from anybody."""
    packets = []
    for source in [aim.source() for _ in range(10)]:
        quoted = packet.udp(aim.target, source, aim.port, 40000, bytes(32))
        if aim.family == 4:
            kinds = [(3, code, 0) for code in range(16)] + [(3, 4, 68), (4, 0, 0), (5, 1, 0),
                                                            (11, 0, 0), (11, 1, 0), (12, 0, 0)]
        else:
            kinds = [(1, code, 0) for code in range(7)] + [(2, 0, 1280), (3, 0, 0), (3, 1, 0),
                                                           (4, 0, 0), (4, 1, 0)]
        for kind, code, more in kinds:
            protocol = packet.ICMP if aim.family == 4 else packet.ICMP6
            body = struct.pack("!BBHI", kind, code, 0, more) + quoted
            covered = body if aim.family == 4 else \
                packet.pseudo(source, aim.target, len(body), protocol) + body
            check = struct.pack("!H", 0xffff - packet.ones_sum(covered))
            packets.append(packet.ip(source, aim.target, body[:2] + check + body[4:], protocol))
    return packets


def random_datagrams(aim, seed, count):
    """Anything: noise, and right datagrams with bits turned over, cut or put together."""
    rng = random.Random(seed)
    seeds = wrapped([b"get secret\r\n", b"set secret 0 0 1\r\nx\r\n", b"mg secret v\r\n", b"mn\r\n",
                     b"version\r\n", binary.request("get", b"secret"), b"stats\r\n", b""])
    payloads = []
    for _ in range(count):
        if rng.random() < 0.3:
            data = rng.randbytes(rng.choice((0, 1, 7, 8, 9, 31, 32, 33, 60, 200, 1400)))
        else:
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(4)):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if rng.random() < 0.3:
                data = data[:rng.randrange(len(data) + 1)]
            elif rng.random() < 0.2:
                data += rng.choice(seeds)[rng.choice((0, 8, 32)):]
        payloads.append(bytes(data))
    return [aim.udp(payload, sport=rng.choice((40000, 40000, 1, 65535, rng.randrange(65536))))
            for payload in payloads]
