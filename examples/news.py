# SPDX-License-Identifier: BSD-3-Clause
"""A small news site: stories, comments, votes, tags, search, sessions.  Standard library only.

Site makes pages from SQLite; with a cache (cache.py) pages, sessions and hit counters are kept
there.  `python3 examples/news.py --help` serves it alone; demo.py compares both ways.
"""

import argparse
import html
import http.server
import json
import random
import socket
import sqlite3
import threading
import urllib.parse

from cache import Cache

USERS, STORIES, COMMENTS, VOTES = 400, 4000, 40_000, 80_000
TAGS = "art books cities cooking games gardens history maths music nature sea space sport".split()
WORDS = """amber bridge candle dragon ember forest garden harbour island jungle kettle lantern
meadow north ocean pepper quartz river silver thunder umbrella valley willow yellow zebra slow
quick old new little great hidden open first last""".split()
PAGE_TTL_S, SESSION_TTL_S, PAGE_ROWS = 300, 3600, 20

SCHEMA = """
CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT, joined INTEGER);
CREATE TABLE story (id INTEGER PRIMARY KEY, user_id INTEGER, title TEXT, body TEXT, made INTEGER,
                    hits INTEGER DEFAULT 0);
CREATE TABLE comment (id INTEGER PRIMARY KEY, story_id INTEGER, user_id INTEGER, body TEXT,
                      made INTEGER);
CREATE TABLE vote (story_id INTEGER, user_id INTEGER, up INTEGER);
CREATE TABLE tag (story_id INTEGER, name TEXT);
CREATE TABLE session (id TEXT PRIMARY KEY, user_id INTEGER, seen INTEGER);
CREATE INDEX comment_story ON comment (story_id);
CREATE INDEX comment_user ON comment (user_id);
CREATE INDEX story_user ON story (user_id);
CREATE INDEX vote_story ON vote (story_id);
CREATE INDEX tag_name ON tag (name);
CREATE INDEX tag_story ON tag (story_id);
"""

LIST = """
SELECT story.id, title, user.name AS author, story.made,
       (SELECT total(up) FROM vote WHERE story_id = story.id) AS score,
       (SELECT count(*) FROM comment WHERE story_id = story.id) AS comments,
       (SELECT group_concat(name) FROM tag WHERE story_id = story.id) AS tags
FROM story JOIN user ON user.id = user_id
"""


def sentence(rng, count):
    return " ".join(rng.choice(WORDS) for _ in range(count)).capitalize()


def fill(path):
    """Make the database; the same one every time."""
    rng = random.Random(1)
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" + SCHEMA)
    db.executemany("INSERT INTO user VALUES (?, ?, ?)", (
        (i, f"{rng.choice(WORDS)}{i}", rng.randrange(10**9)) for i in range(1, USERS + 1)))
    db.executemany("INSERT INTO story (id, user_id, title, body, made) VALUES (?, ?, ?, ?, ?)", (
        (i, rng.randint(1, USERS), sentence(rng, 6), sentence(rng, 120), i * 600)
        for i in range(1, STORIES + 1)))
    db.executemany("INSERT INTO comment VALUES (?, ?, ?, ?, ?)", (
        (i, rng.randint(1, STORIES), rng.randint(1, USERS), sentence(rng, 25), i * 60)
        for i in range(1, COMMENTS + 1)))
    db.executemany("INSERT INTO vote VALUES (?, ?, ?)", (
        (rng.randint(1, STORIES), rng.randint(1, USERS), rng.choice((1, 1, 1, -1)))
        for _ in range(VOTES)))
    db.executemany("INSERT INTO tag VALUES (?, ?)", (
        (i, name) for i in range(1, STORIES + 1) for name in rng.sample(TAGS, 2)))
    db.commit()
    db.close()


class Site:
    """The pages.  Each thread has its own connections; `reads` counts SELECTs of all of them."""

    def __init__(self, path, cache_port=None):
        self.path, self.cache_port = path, cache_port
        self.local = threading.local()
        self.lock = threading.Lock()
        self.reads = 0

    @property
    def db(self):
        if not hasattr(self.local, "db"):
            self.local.db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            self.local.db.row_factory = sqlite3.Row
        return self.local.db

    @property
    def cache(self):
        if self.cache_port is None:
            return None
        if not hasattr(self.local, "cache"):
            self.local.cache = Cache("127.0.0.1", self.cache_port)
        return self.local.cache

    def read(self, query, *args):
        with self.lock:
            self.reads += 1
        return self.db.execute(query, args).fetchall()

    def cached(self, key, make):
        if self.cache is None:
            return make()
        return self.cache.fetch(key, PAGE_TTL_S, make)

    # ── pages ──────────────────────────────────────────────────────────────────────────────────

    def page(self, title, body):
        text = f"""<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em}}
small{{color:#666}}a{{color:#135}}</style>
<p><a href="/">News</a> · {" ".join(f'<a href="/tag/{t}">{t}</a>' for t in TAGS)}
<form action="/search"><input name="q" placeholder="search"></form>
<h1>{html.escape(title)}</h1>{body}"""
        return text.encode()

    def rows(self, found):
        return "".join(f"""<p><a href="/story/{row['id']}">{html.escape(row['title'])}</a><br>
<small>{int(row['score'])} points by {row['author']}, {row['comments']} comments, {row['tags']}
</small>""" for row in found)

    def front(self, number):
        """The best of the last 500 stories."""
        found = self.read(LIST + """WHERE story.id > (SELECT max(id) FROM story) - 500
            ORDER BY score DESC, story.id DESC LIMIT ? OFFSET ?""", PAGE_ROWS, number * PAGE_ROWS)
        more = f'<p><a href="/page/{number + 1}">more</a>' if len(found) == PAGE_ROWS else ""
        return self.page("News" if number == 0 else f"News, page {number + 1}",
                         self.rows(found) + more)

    def tag(self, name):
        found = self.read(LIST + """WHERE story.id IN (SELECT story_id FROM tag WHERE name = ?)
            ORDER BY score DESC, story.id DESC LIMIT ?""", name, PAGE_ROWS)
        return self.page(f"About {name}", self.rows(found))

    def search(self, text):
        found = self.read(LIST + """WHERE title LIKE ? OR body LIKE ?
            ORDER BY story.id DESC LIMIT ?""", f"%{text}%", f"%{text}%", PAGE_ROWS)
        return self.page(f"Search for {text}", self.rows(found))

    def story(self, number):
        found = self.read(LIST + "WHERE story.id = ?", number)
        if not found:
            return None
        body = self.read("SELECT body FROM story WHERE id = ?", number)[0]["body"]
        comments = self.read("""SELECT comment.body, user.name AS author,
            (SELECT total(up) FROM vote JOIN story ON story.id = story_id
             WHERE story.user_id = user.id) AS karma
            FROM comment JOIN user ON user.id = user_id
            WHERE story_id = ? ORDER BY comment.id""", number)
        text = "".join(f"""<p>{html.escape(row['body'])}<br><small>{row['author']}, karma
{int(row['karma'])}</small>""" for row in comments)
        return self.page(found[0]["title"], f"""{self.rows(found)}<p>{html.escape(body)}{text}
<form method="post"><input name="body"><button>comment</button></form>""")

    # ── what changes ───────────────────────────────────────────────────────────────────────────

    def comment(self, number, user, text):
        """Lists show the new count when their time is over; the story itself at once."""
        self.db.execute("INSERT INTO comment (story_id, user_id, body, made) VALUES (?, ?, ?, 0)",
                        (number, user, text))
        if self.cache:
            self.cache.invalidate(f"page:/story/{number}")

    def hit(self, number):
        """Count a visit of a story."""
        if self.cache:
            return self.cache.count(f"hits:{number}")
        self.db.execute("UPDATE story SET hits = hits + 1 WHERE id = ?", (number,))
        return self.read("SELECT hits FROM story WHERE id = ?", number)[0]["hits"]

    def visit(self, session):
        """Who is it?  A session lives as long as it is used; returns a user."""
        user = sum(session.encode()) % USERS + 1
        if self.cache:
            if not self.cache.touch(f"session:{session}", SESSION_TTL_S):
                self.cache.set(f"session:{session}", json.dumps({"user": user}).encode(),
                               SESSION_TTL_S)
            return user
        if not self.read("SELECT user_id FROM session WHERE id = ?", session):
            self.db.execute("INSERT OR IGNORE INTO session VALUES (?, ?, 0)", (session, user))
        self.db.execute("UPDATE session SET seen = seen + 1 WHERE id = ?", (session,))
        return user

    def get(self, path):
        """The page of a path, or None."""
        url = urllib.parse.urlsplit(path)
        parts = [urllib.parse.unquote(part) for part in url.path.split("/") if part]
        key = "page:" + urllib.parse.quote(path, safe="/?=&")[:200]
        match parts:
            case []:
                return self.cached(key, lambda: self.front(0))
            case ["page", number] if number.isdecimal():
                return self.cached(key, lambda: self.front(int(number)))
            case ["tag", name] if name in TAGS:
                return self.cached(key, lambda: self.tag(name))
            case ["search"]:
                text = urllib.parse.parse_qs(url.query).get("q", [""])[0]
                return self.cached(key, lambda: self.search(text))
            case ["story", number] if number.isdecimal():
                self.hit(int(number))
                return self.cached(key, lambda: self.story(int(number)) or b"") or None
        return None


class Handler(http.server.BaseHTTPRequestHandler):
    """HTTP for a Site, which is the class attribute `site`."""

    protocol_version = "HTTP/1.1"
    site = None

    def setup(self):
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reply(self, status, body, kind="text/html; charset=utf-8", **headers):
        head = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.wfile.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)

    def user(self):
        cookie = self.headers.get("Cookie", "")
        return self.site.visit(cookie.partition("sid=")[2][:40] or "nobody")

    def do_GET(self):
        if self.path == "/reads":
            self.reply("200 OK", str(self.site.reads).encode(), "text/plain")
            return
        self.user()
        body = self.site.get(self.path)
        if body is None:
            self.reply("404 Not Found", b"not here")
        else:
            self.reply("200 OK", body)

    def do_POST(self):
        form = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        parts = self.path.split("/")
        if parts[1] != "story" or not parts[2].isdecimal():
            self.reply("404 Not Found", b"not here")
            return
        text = urllib.parse.parse_qs(form).get("body", [""])[0]
        self.site.comment(int(parts[2]), self.user(), text)
        self.reply("303 See Other", b"", Location=self.path)

    def log_message(self, *_):
        pass


def serve(site, port):
    """Make a server of `site`; the caller runs it."""
    handler = type("SiteHandler", (Handler,), {"site": site})
    http.server.ThreadingHTTPServer.daemon_threads = True
    http.server.ThreadingHTTPServer.request_queue_size = 128
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


def main():
    parser = argparse.ArgumentParser(description="Serve the news site.")
    parser.add_argument("--database", required=True, help="SQLite file, made when missing")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--cache-port", type=int, help="port of matted; without it: no cache")
    args = parser.parse_args()
    try:
        open(args.database, "xb").close()
        fill(args.database)
    except FileExistsError:
        pass
    server = serve(Site(args.database, args.cache_port), args.port)
    print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
