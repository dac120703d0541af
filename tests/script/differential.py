# SPDX-License-Identifier: BSD-3-Clause
"""What the comparisons with a real memcached share: sequences of requests, made from seeds, go to
it and to the server under test; answers and counters must agree.

MATTE_PEER names the memcached (Debian's 1.6.18), MATTE_SEQUENCES how many sequences to run,
MATTE_SEED the first seed.  A disagreement is shrunk and shown with its seed.  CAS uniques are
compared key by key, by the order in which they are first seen."""

import os
import random

import pytest

import harness
import rows

SEQUENCES = int(os.environ.get("MATTE_SEQUENCES", "300"))
SEED = int(os.environ.get("MATTE_SEED", "1"))
PER_TEST = 50

# Counters that depend on when an expired item is found; and those of cas, because 1.6.18 counts
# compares of `ms` in other modes than set differently (the tables check the rest).
UNCOUNTED = {"curr_items", "get_expired", "get_flushed", "cas_hits", "cas_misses", "cas_badval"}

by_seed = pytest.mark.parametrize("first", range(SEED, SEED + SEQUENCES, PER_TEST))


@pytest.fixture(scope="module")
def pair():
    """The server under test and its peer."""
    if not os.path.exists(harness.PEER):
        pytest.skip(f"{harness.PEER} is not installed")
    with harness.Server("-t", "2") as ours:
        with harness.Server("-t", "2", binary=harness.PEER) as peer:
            for server in (ours, peer):
                with server.connect() as conn:
                    conn.set(b"first", b"x")  # takes the CAS unique 1, a wrong one in requests
            yield ours, peer


class Uniques:
    """The CAS uniques seen by one side, key by key."""

    def __init__(self):
        self.seen = {}

    def of(self, key):
        return self.seen.get(key, [])

    def number(self, key, unique):
        """As the how manieth of the key it was first seen."""
        seen = self.seen.setdefault(key, [])
        if unique not in seen:
            seen.append(unique)
        return seen.index(unique)


class Comparison:
    """Plays sequences (lists of batches of requests) by a `side`: a class with run(batch, rng),
    which returns the answers, and close().  `wipe(seed)` is a batch that deletes what an earlier
    run of the sequence has left."""

    def __init__(self, pair, side, wipe):
        self.pair, self.side, self.wipe = pair, side, wipe

    def answers(self, seed, batches):
        """Run a sequence on both; returns the first answers that differ, or None."""
        ours, peers = (self.side(server) for server in self.pair)
        try:
            for batch in batches:
                got = ours.run(batch, random.Random(seed))
                want = peers.run(batch, random.Random(seed))
                got = ours.alike(batch, got, want)
                if got != want:
                    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b),
                              min(len(got), len(want)))
                    return f"answer {at}: ours {got[at:at + 3]}, memcached {want[at:at + 3]}"
        except AssertionError as error:
            return str(error)
        finally:
            ours.close()
            peers.close()
        return None

    def play(self, seed, batches):
        """Run a sequence on both; returns what differs in answers or counters, or None."""
        before = [counters(server) for server in self.pair]
        difference = self.answers(seed, batches)
        if difference:
            return difference
        ours, peers = ({name: after[name] - start[name] for name in after}
                       for start, after in zip(before, map(counters, self.pair)))
        return ", ".join(f"{name}: ours {ours[name]}, memcached {peers[name]}"
                         for name in ours if ours[name] != peers[name]) or None

    def shrink(self, seed, batches):
        """Leave out requests as long as the sides still disagree; returns the rest and how."""
        def differs(candidate):
            return self.play(seed, [self.wipe(seed)] + [batch for batch in candidate if batch])

        changed = differs(batches)
        while changed:
            changed = False
            for b, batch in enumerate(batches):
                for i in range(len(batch)):
                    candidate = [list(x) for x in batches]
                    del candidate[b][i]
                    if differs(candidate):
                        batches, changed = candidate, True
                        break
                if changed:
                    break
        return [batch for batch in batches if batch], differs(batches)

    def check(self, first, batches_of):
        """The sequences of one test, from seed `first` on."""
        for seed in range(first, min(first + PER_TEST, SEED + SEQUENCES)):
            batches = batches_of(seed)
            difference = self.play(seed, batches)
            if difference:
                small, again = self.shrink(seed, batches)
                text = "\n".join(repr(batch) for batch in small)
                pytest.fail(f"seed {seed}: {difference}\nshrunk to\n{text}\n{again}")


def counters(server):
    with server.connect() as conn:
        stats = conn.stats()
    return {name: int(stats[name]) for name in rows.COUNTED if name not in UNCOUNTED}
