# SPDX-License-Identifier: BSD-3-Clause
"""Generated requests of the text protocol go to memcached and to the server under test, see
differential.py.  TTLs are compared with a tolerance of some seconds, keys without regard to base64:
1.6.18 sometimes forgets what an item's is.

Numbers have keys of their own: whether memcached pads a shorter result with blanks depends on what
else refers to the item at that moment, so the blanks are not compared and nothing is appended."""

import base64
import random
import re

from differential import Comparison, Uniques, by_seed
from differential import pair  # noqa: F401  a fixture

BATCHES, BATCH = 6, 12  # writes in a sequence, requests in a write
TTLS = (100, 1000, 50000)

# Requests that are left out, because memcached 1.6.18 and 1.6.45 answer differently (or matted does
# on purpose: docs/differences.md).
DIFFERENCES = [
    (rb"(mg|md|ma|ms) .*\bE\d", "1.6.18 knows no E"),
    (rb"mg .*\bC\d", "1.6.18 knows no C for mg"),
    (rb"md .*\bx\b", "1.6.18 knows no x"),
    (rb"ms .*\bM[AP].*\bN\d|ms .*\bN\d.*\bM[AP]", "1.6.18 knows no N for ms"),
    (rb"ms .*\bs\b", "1.6.18 returns no size from ms"),
    (rb"(set|add|replace|append|prepend|cas) \S+ x", "1.6.18 does not swallow the block"),
    (rb"md .*( Z| v| k( .*)? k)", "1.6.18 words flag errors of md like those of ma"),
    (rb"mg (?=.* T)(?=.* [NR]\d)", "in 1.6.18 the later of T and N wins; R sees a T before it"),
    (rb"m\w .* !", "1.6.18 calls it an invalid flag, 1.6.45 a format error"),
    (rb"mg \S+ Oo{32}", "1.6.18 counts a get"),
    (rb"ms (?=.* I\b)(?=.* C)", "a key's CAS uniques need not grow when it was gone in between"),
    (rb"ma .* T", "1.6.18 sometimes sets the TTL of the number that was just replaced"),
    (rb"me ", "sizes and classes are the engine's own"),
]

class Generator:
    """Requests from a seed; {cN} stands for the N-th CAS unique of its key, {last} for the last."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.keys = [b"d%d.%d" % (seed, i) for i in range(5)]
        self.keys += [b"n%d.%d" % (seed, i) for i in range(3)]

    def pick(self, *choices):
        return self.rng.choice(choices)

    def maybe(self, chance):
        return self.rng.random() < chance

    def key(self):
        return self.rng.choice(self.keys[:5])

    def any_key(self):
        return self.rng.choice(self.keys)

    def number_key(self):
        return self.rng.choice(self.keys[5:])

    def value(self):
        return self.pick(b"", b"x", b"10", b"0", b"99", b"12 ab", b" 7", b"0100", b"-5", b"+3",
                         b"18446744073709551615", b"a\r\nb", b"\0\xff", b"v" * 200, b"w" * 3000,
                         b"%d" % self.rng.randrange(1000))

    def number_value(self):
        """Not empty: with a wrong C, 1.6.18 says first that it is no number.  Below 2^63: 1.6.18
        looks for a minus sign, and beyond the end of the value."""
        return self.pick(b"x", b"10", b"0", b"99", b"12 ab", b" 7", b"0100", b"-5", b"+3",
                         b"%d" % self.rng.randrange(1000))

    def exptime(self):
        return self.pick(b"0", b"0", b"0", b"-1", *(b"%d" % ttl for ttl in TTLS), b"2000000000")

    def cas(self):
        return self.pick(b"{c0}", b"{c1}", b"1", b"{last}", b"{last}", b"{last}")

    def noreply(self):
        return b" noreply" if self.maybe(0.1) else b""

    def block(self, line, value):
        """A data block; sometimes longer than told."""
        extra = b"extra" if self.maybe(0.02) else b""
        return line + b"\r\n" + value + extra + b"\r\n"

    def store(self):
        value, word, key = self.value(), self.pick(b"set", b"add", b"replace"), self.any_key()
        if self.maybe(0.4):
            word, key = self.pick(b"append", b"prepend"), self.key()
        if key.startswith(b"n"):
            value = self.number_value()
        line = b"%s %s %s %s %d" % (
            word, key, self.pick(b"0", b"5", b"4294967295", b"+7"), self.exptime(), len(value))
        return self.block(line + self.noreply(), value)

    def cas_store(self):
        key = self.any_key()
        value = self.number_value() if key.startswith(b"n") else self.value()
        line = b"cas %s 3 %s %d %s" % (key, self.exptime(), len(value), self.cas())
        return self.block(line + self.noreply(), value)

    def get(self):
        keys = b" ".join(self.any_key() for _ in range(self.rng.randrange(1, 5)))
        return self.pick(b"get ", b"gets ", b"gat %s " % self.exptime(),
                         b"gats %s " % self.exptime()) + keys + b"\r\n"

    def change(self):
        delta = self.pick(b"1", b"5", b"0", b"100", b"1000000007", b"x", b"-1")
        line = self.pick(b"incr %s %s" % (self.number_key(), delta),
                         b"decr %s %s" % (self.number_key(), delta),
                         b"delete %s" % self.any_key(),
                         b"touch %s %s" % (self.any_key(), self.exptime()),
                         b"touch %s 1x" % self.key())
        return line + self.noreply() + b"\r\n"

    def meta_flags(self, letters):
        """Some of the letters in any order, with tokens where they take one."""
        tokens = {b"T": self.exptime, b"N": lambda: self.pick(b"0", b"100"),
                  b"R": lambda: self.pick(b"30", b"500"), b"O": lambda: self.pick(b"x1", b"opaque"),
                  b"C": self.cas, b"F": lambda: self.pick(b"0", b"77"),
                  b"D": lambda: self.pick(b"1", b"10", b"0"), b"J": lambda: self.pick(b"0", b"13"),
                  b"E": lambda: b"123456789", b"P": lambda: b"p", b"L": lambda: b"l"}
        chosen = [letter for letter in letters if self.maybe(0.25)]
        if b"c" in chosen and b"k" not in chosen:
            chosen.append(b"k")  # tells whose CAS unique it is
        self.rng.shuffle(chosen)
        if self.maybe(0.03):
            chosen.append(self.pick(b"Z", b"v", b"!", b"k"))
        return b"".join(b" " + letter + (tokens[letter]() if letter in tokens else b"")
                        for letter in chosen)

    def meta_key(self, word, flags):
        key = self.number_key() if word == b"ma" else self.key()
        if not self.maybe(0.2):
            return key, flags
        return base64.b64encode(key), flags + b" b"

    def meta(self):
        word = self.pick(b"mg", b"mg", b"md", b"ma", b"ms")
        letters = {b"mg": b"c f h k q s t u v v v N R T O P", b"md": b"q k O C I T",
                   b"ma": b"N J D T C q t c v v k O", b"ms": b"c k O F F T C q I"}[word].split()
        flags = self.meta_flags(letters)
        if word in (b"ma", b"ms") and self.maybe(0.5):
            flags += b" M" + (self.pick(b"I", b"D", b"+", b"-") if word == b"ma" else
                              self.pick(b"E", b"A", b"P", b"R", b"S"))
        key, flags = self.meta_key(word, flags)
        if word == b"ms":
            value = self.value()
            return self.block(b"ms %s %d%s" % (key, len(value), flags), value)
        return b"%s %s%s\r\n" % (word, key, flags)

    def other(self):
        return self.pick(b"mn\r\n", b"foo\r\n", b"verbosity 0\r\n", b"mn\r\n", b"mx k v\r\n",
                         b"mg %s O%s\r\n" % (self.key(), b"o" * 33), b"mg abc b\r\n")

    def request(self):
        kind = self.rng.choices([self.store, self.cas_store, self.get, self.change, self.meta,
                                 self.other], [20, 8, 18, 18, 32, 4])[0]
        return kind()

    def batches(self):
        return [[self.request() for _ in range(BATCH)] for _ in range(BATCHES)]


def left_out(request):
    line = request.split(b"\r\n")[0]
    return next((why for pattern, why in DIFFERENCES if re.match(pattern, line)), None)


class Side:
    """One of the two servers: its connection and the CAS uniques seen on it, key by key."""

    def __init__(self, server):
        self.conn = server.connect()
        self.uniques = Uniques()

    def close(self):
        self.conn.close()

    def alike(self, batch, got, want):
        return got

    def cas_name(self, key, unique):
        return b"none" if unique == b"0" else b"#%d" % self.uniques.number(key, unique)

    def fill_in(self, request):
        """Put real CAS uniques for {cN} and {last}."""
        if b"{" not in request:
            return request
        line = request.split(b"\r\n")[0]
        words = line.split()
        key = words[1] if len(words) > 1 else b""
        seen = self.uniques.of(base64.b64decode(key) if line.endswith(b" b") else key)

        def unique(match):
            if match[1] == b"last":
                return seen[-1] if seen else b"1"
            index = int(match[1][1:])
            return seen[index] if index < len(seen) else b"1"
        return re.sub(rb"\{(c\d+|last)\}", unique, request)

    def answer(self):
        """One line (with its value) in a form that can be compared."""
        line = self.conn.line()
        assert line is not None, "closed"
        words = line.split(b" ")
        value = b""
        if words[0] == b"VALUE":
            value = self.conn.take(int(words[3]) + 2)
            if words[1].startswith(b"n"):
                words[3], value = b"", value.rstrip(b" \r\n")
            if len(words) == 5:
                words[4] = self.cas_name(words[1], words[4])
        elif words[0] in (b"VA", b"HD"):
            if words[0] == b"VA":
                value = self.conn.take(int(words[1]) + 2)
            words = self.meta_words(words)
        return b" ".join(words) + (b" | " + value if value else b"")

    def meta_words(self, words):
        """The words of a meta answer, in a form that can be compared."""
        key = next((word[1:] for word in words[1:] if word.startswith(b"k")), b"")
        if b"b" in words:
            key = base64.b64decode(key)
            words = [b"k" + key if word.startswith(b"k") else word
                     for word in words if word != b"b"]
        return [b"c" + self.cas_name(key, word[1:]) if re.fullmatch(rb"c\d+", word) else
                self.meta_word(word) for word in words]

    def meta_word(self, word):
        if re.fullmatch(rb"t\d+", word):
            near = [ttl for ttl in (*TTLS, 30, 500) if 0 <= ttl - int(word[1:]) <= 10]
            return b"t%d" % near[0] if near else b"t_far"
        return word

    def run(self, requests, rng):
        """Send a batch, cut at random places; returns the answers."""
        data = b"".join(self.fill_in(request) for request in requests) + b"mg end Oend\r\n"
        places = sorted(rng.randrange(len(data)) for _ in range(rng.randrange(4)))
        for low, high in zip([0, *places], [*places, len(data)]):
            self.conn.send(data[low:high])
        answers = [self.answer()]
        while answers[-1] != b"EN Oend":
            answers.append(self.answer())
        return answers


def batches_of(seed):
    return [[request for request in batch if not left_out(request)]
            for batch in Generator(seed).batches()]


def wipe(seed):
    return [b"delete %s noreply\r\n" % key for key in Generator(seed).keys]


@by_seed
def test_answers_agree(pair, first):  # noqa: F811
    """Sequences of requests, each with keys of its own."""
    Comparison(pair, Side, wipe).check(first, batches_of)
