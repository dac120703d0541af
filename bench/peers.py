"""bench/peers.py: start, watch and stop the servers under test, and run the bench programs.

SPDX-License-Identifier: BSD-3-Clause
"""
import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOST = "127.0.0.1"
PORTS = range(21300, 21400)
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU = CPUS[0]
CLIENT_CPU = CPUS[-1]


# Told to end, end like by Ctrl-C: the servers are stopped on the way out.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Failed(Exception):
    """A server or a program did not do what it should; the text says what."""


def pinned(cpu, argv):
    """Run on that CPU alone; None: anywhere."""
    return argv if cpu is None else ["taskset", "-c", str(cpu)] + argv


def free_port(taken=[]):
    """A port of ours that nobody listens on; each is given out once."""
    for port in PORTS:
        if port in taken:
            continue
        taken.append(port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue
    taken.clear()
    return free_port()


def find_server(path, name):
    """The path of a server program, or an exit that says how to get it."""
    found = shutil.which(path)
    if not found:
        sys.exit(f"bench: no {name} at {path!r}; "
                 + ("run `make build`" if name == "matted" else "install Debian's memcached"))
    return found


def parser(doc):
    """The arguments of a comparison: which servers, which programs, where the results go."""
    options = argparse.ArgumentParser(description=doc.split("\n\n")[0])
    build = os.path.join(ROOT, "build", "release")
    options.add_argument("--ours", default=os.path.join(build, "matted"))
    options.add_argument("--memcached", default="memcached")
    options.add_argument("--programs", default=os.path.join(build, "bench"),
                         help="folder of the bench programs")
    options.add_argument("--out", default=os.path.join(ROOT, "bench"),
                         help="folder for RESULTS.md and the JSON")
    return options


def arguments(options):
    """Parse the command line; the servers are found, or it ends here."""
    args = options.parse_args()
    args.ours = find_server(args.ours, "matted")
    args.memcached = find_server(args.memcached, "memcached")
    return args


def cache_argv(program, memory_mb, connections=2048, workers=1):
    """The same options for both: TCP on loopback, that much memory."""
    argv = [program, "-l", HOST, "-U", "0", "-t", str(workers), "-c", str(connections),
            "-m", str(memory_mb)]
    return argv + (["-u", "nobody"] if os.geteuid() == 0 else [])


def gate_argv(rules, made=[]):
    """Options for so many access rules and for limits that are counted, but never reached."""
    made.append(tempfile.TemporaryDirectory(prefix="matte-bench-"))
    os.chmod(made[-1].name, 0o755)
    path = os.path.join(made[-1].name, "access")
    with open(path, "w", encoding="utf-8") as file:
        for i in range(rules - 1):
            file.write(f"{'deny' if i % 2 else 'allow'} 10.{i // 250}.{i % 250}.0/24\n")
        file.write(f"allow {HOST}\n")
    return ["-o", f"access_file={path}", "-o", "limit_trusted=", "-o",
            "limit_requests=100000000,limit_requests_prefix=100000000,limit_bytes=2g,"
            "limit_bytes_prefix=2g,limit_conns=1000000,limit_conns_prefix=1000000"]


def certificate(made=[]):
    """The folder of a certificate and its key, cert.pem and key.pem, made for this run."""
    if not made:
        made.append(tempfile.TemporaryDirectory(prefix="matte-bench-"))
        folder = made[0].name
        os.chmod(folder, 0o755)
        done = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench",
             "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, capture_output=True,
            check=False)
        if done.returncode != 0:
            raise Failed(f"openssl made no certificate: {done.stderr.decode().strip()}")
        os.chmod(os.path.join(folder, "key.pem"), 0o644)  # servers become another user
    return made[0].name


def tls_argv():
    """Options for TLS."""
    folder = certificate()
    return ["-Z", "-o", f"ssl_chain_cert={folder}/cert.pem,ssl_key={folder}/key.pem"]


class Server:
    """One running server, pinned to the server core unless told otherwise; argv lacks the port.

    With `udp` it serves UDP on the same port.
    """

    def __init__(self, name, argv, cpu=SERVER_CPU, udp=False):
        self.name = name
        self.port = free_port()
        argv = argv[:1] + ["-p" if name != "floor" else "--port", str(self.port)] + argv[1:]
        argv += ["-U", str(self.port)] if udp else []
        self.process = subprocess.Popen(pinned(cpu, argv), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        self.pid = self.process.pid
        try:
            self.wait_until_up()
        except Failed:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_up(self):
        for _ in range(500):
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended: {self.process.stderr.read().decode().strip()}")
            try:
                socket.create_connection((HOST, self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"{self.name} does not listen")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()

    def memory(self):
        """Bytes of the process as the kernel adds them up: Rss, Pss, Anonymous."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as rollup:
            rows = dict(line.split(":", 1) for line in rollup if ":" in line)
        return {name: int(rows[name].split()[0]) * 1024 for name in ("Rss", "Pss", "Anonymous")}

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise Failed(f"{self.name} has no VmRSS")


def files_allow(count):
    """Let this process have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


def ask(port, request, answer):
    """Send a request on a connection of its own; the answer must be that."""
    with socket.create_connection((HOST, port), 10) as conn:
        conn.sendall(request)
        got = conn.recv(len(answer) + 1)
    if got != answer:
        raise Failed(f"{request!r} was answered {got!r}")


def ask_once(port, count, stack=None):
    """Open connections that ask for one key each; `stack` keeps them open."""
    for _ in range(count):
        conn = socket.create_connection((HOST, port), 10)
        conn.sendall(b"get nothing\r\n")
        if conn.recv(100) != b"END\r\n":
            raise Failed("an idle connection got no answer")
        if stack is None:
            conn.close()
        else:
            stack.enter_context(conn)


def options(settings):
    """A dict as --name value pairs."""
    return [word for name, value in settings.items() for word in ("--" + name, str(value))]


def run(program, settings, name="", cpu=CLIENT_CPU):
    """Run a bench program on the client core; its JSON answer, or None when it prints none."""
    argv = pinned(cpu, [program] + options(settings))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        command = " ".join([program] + options(settings))
        raise Failed(f"{command}\n  against {name}: {done.stderr.strip()}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def text_of(argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip()


def commit():
    name = text_of(["git", "rev-parse", "--short", "HEAD"])
    changed = text_of(["git", "status", "--porcelain", "--untracked-files=no", "--", "src"])
    return name + (" with local changes" if changed else "") if name else "unknown"


def machine():
    """What a reader must know to compare figures."""
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "cpu": model,
        "cpus": len(CPUS),
        "memory_gib": round(memory_gib, 1),
        "kernel": platform.release(),
        "virtual": text_of(["systemd-detect-virt"]) or "unknown",
        "load_average": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
    }


def version(program):
    lines = text_of([program, "-V"]).splitlines()
    return lines[0] if lines else "unknown version"


def result_of(args, measure, **facts):
    """What `measure()` finds out, with what a reader must know to compare it; or the end."""
    result = {"machine": machine(), **facts, "versions": {"ours": version(args.ours),
                                                          "memcached": version(args.memcached)}}
    started = time.monotonic()
    try:
        result.update(measure())
    except Failed as error:
        sys.exit(f"bench: {error}")
    result["took_s"] = round(time.monotonic() - started)
    return result
