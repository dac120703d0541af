#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Real clients against the server, unmodified: text and binary protocol, logins, TLS.

Each check is a small program in this folder, or a tool of libmemcached; it is skipped, and says so,
when the client is not installed (`make test-clients` installs all but spymemcached's compiler) or
the server has no such feature.  Ends with `N passed, N failed, N skipped`.  MATTE_SERVER names the
server (build/release/matted without it; memcached itself is fine).  Arguments choose checks by a
part of their name."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
os.environ.setdefault("MATTE_SERVER", str(ROOT / "build/release/matted"))
sys.path.insert(0, str(ROOT / "tests/script"))
import harness  # noqa: E402

PYTHON = "/usr/bin/python3"  # Debian's, which sees Debian's packages
BUILD = ROOT / "build/clients"  # what is not Debian's, installed by us
MEMJS = "memjs@1.3.2"
USER, PASSWORD = "friend", "secret7"
TIMEOUT_S = 90


class Skip(Exception):
    """A client or a feature is not there."""


def run(*command, **kwargs):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=TIMEOUT_S,
                          **kwargs)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def need(command):
    path = shutil.which(command)
    if path is None:
        raise Skip(f"{command} is not installed")
    return path


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def is_reference():
    return harness.is_reference(harness.BINARY)


# ── servers ─────────────────────────────────────────────────────────────────────────────────────


def need_feature(word):
    """The help names what is built in; scripts of users look for the same words."""
    if word not in run(harness.BINARY, "-h")[1]:
        raise Skip(f"the server has no {word}")


@contextlib.contextmanager
def plain():
    with harness.Server() as server:
        yield server


@contextlib.contextmanager
def folder_of_ours():
    with tempfile.TemporaryDirectory(prefix="matte-clients-") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def reference_users(folder):
    """Users for the SASL library that memcached is linked with."""
    (folder / "memcached.conf").write_text(
        f"mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
        f"sasldb_path: {folder}/users\n")
    subprocess.run([need("saslpasswd2"), "-c", "-p", "-f", folder / "users", USER],
                   input=PASSWORD.encode(), check=True, capture_output=True)


@contextlib.contextmanager
def sasl():
    """-S: logins in the binary protocol."""
    need_feature("enable-sasl")
    with folder_of_ours() as folder:
        if is_reference():
            reference_users(folder)
        users = folder / "password"
        users.write_text(f"{USER}:{PASSWORD}\n")
        args = ("-S",) if is_reference() else ("-S", "-Y", users)
        with harness.Server(*args, env={"SASL_CONF_PATH": str(folder)}) as server:
            yield server


@contextlib.contextmanager
def text_login():
    """-Y: logins in the text protocol."""
    need_feature("auth-file")
    with folder_of_ours() as folder:
        users = folder / "password"
        users.write_text(f"{USER}:{PASSWORD}\n")
        with harness.Server("-Y", users) as server:
            yield server


def hash_user(users, *rights):
    """Our user as a hashed line, made by the operator's program."""
    if is_reference():
        raise Skip("memcached has no hashed users")
    status, output = run(harness.CLI, "passwd", users, USER, "--stdin", *rights,
                         input=f"{PASSWORD}\n".encode())
    check(status == 0, output)
    users.chmod(0o644)  # for the user that the server becomes


@contextlib.contextmanager
def hashed(*rights):
    """-S and -Y with a hashed user."""
    with folder_of_ours() as folder:
        users = folder / "password"
        hash_user(users, *rights)
        with harness.Server("-S", "-Y", users) as server:
            yield server


def tenant():
    return hashed("--prefix=app1:")


@contextlib.contextmanager
def tls():
    """-Z: with a certificate of our own making."""
    need_feature("enable-ssl")
    with folder_of_ours() as folder:
        key, cert = folder / "key.pem", folder / "cert.pem"
        status, output = run(
            need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", cert)
        check(status == 0, output)
        key.chmod(0o644)  # for the user that the server becomes
        with harness.Server("-Z", "-o", f"ssl_chain_cert={cert},ssl_key={key}") as server:
            server.ca_file = cert
            yield server


# ── our small programs ──────────────────────────────────────────────────────────────────────────


def said_ok(output):
    """Libraries may talk; the last thing that our programs say is a line "ok"."""
    return re.search(r"^ok$", output, re.M)


def program(interpreter, file, server, probe, *args):
    """Run one of our small programs; `probe` tells whether its client library is there."""
    need(interpreter)
    if run(interpreter, *probe)[0] != 0:
        raise Skip(f"{file}: its library is not installed")
    status, output = run(interpreter, HERE / file, server.port, *args)
    check(status == 0 and said_ok(output), output)


def python(name, module, *args):
    return lambda server: program(PYTHON, f"{name}.py", server, ["-c", f"import {module}"], *args)


def pymemcache_tls(server):
    python("pymemcache_client", "pymemcache", "tls", server.ca_file)(server)


def php(*args):
    return lambda server: program("php", "memcached.php", server,
                                  ["-r", "exit(class_exists('Memcached') ? 0 : 1);"], *args)


def dalli(*args):
    return lambda server: program("ruby", "dalli.rb", server, ["-e", "require 'dalli'"], *args)


def php_tenant(server):
    program("php", "tenant.php", server, ["-r", "exit(class_exists('Memcached') ? 0 : 1);"],
            *LOGIN)


def dalli_tenant(server):
    program("ruby", "tenant.rb", server, ["-e", "require 'dalli'"], *LOGIN)


def memjs(*args):
    """No package of Debian: one folder without dependencies, pinned, below build/."""
    def check_it(server):
        need("node")
        modules = BUILD / "node_modules"
        if not (modules / "memjs").is_dir():
            BUILD.mkdir(parents=True, exist_ok=True)
            status, output = run(need("npm"), "install", "--prefix", BUILD, "--no-audit",
                                 "--no-fund", "--ignore-scripts", "--no-package-lock", MEMJS)
            if status != 0:
                raise Skip(f"{MEMJS} cannot be installed: {output.strip().splitlines()[-1:]}")
        status, output = run("node", HERE / "memjs.js", server.port, modules, *args)
        check(status == 0 and said_ok(output), output)
    return check_it


def spymemcached(*args):
    def check_it(server):
        jar = pathlib.Path("/usr/share/java/spymemcached.jar")
        need("javac")
        if not jar.exists():
            raise Skip("libspymemcached-java is not installed")
        status, output = run("java", "-cp", f"{jar}:/usr/share/java/*",
                             HERE / "Spymemcached.java", server.port, *args)
        check(status == 0 and said_ok(output), output)
    return check_it


# ── tools of libmemcached ───────────────────────────────────────────────────────────────────────


def tool(name, server, *args, status=0):
    got, output = run(need(name), f"--servers=127.0.0.1:{server.port}", *args)
    check(got == status, f"{name} {args}: status {got}: {output}")
    return output


def tools_store_and_read(*options):
    """memccp, memccat, memcexist, memctouch, memcrm"""
    def check_it(server):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "poem.txt"
            path.write_text("roses are red\n" * 1000)
            tool("memccp", server, *options, str(path))
            read = tool("memccat", server, *options, "poem.txt")
            check(read.strip() == path.read_text().strip(), "value")
            tool("memcexist", server, *options, "poem.txt")
            tool("memctouch", server, *options, "--expire=100", "poem.txt")
            tool("memcrm", server, *options, "poem.txt")
            tool("memcexist", server, *options, "poem.txt", status=1)
    return check_it


def tools_ask(*options):
    """memcping, memcstat, memcflush"""
    def check_it(server):
        if not options:
            tool("memcping", server)  # knows the text protocol alone
        check("pid" in tool("memcstat", server, *options), "memcstat")
        tool("memcflush", server, *options)
    return check_it


def tools_refused(server):
    """memcstat with a wrong password"""
    tool("memcstat", server, *BINARY_LOGIN)
    tool("memcstat", server, "--binary", f"--username={USER}", "--password=no", status=1)


def tools_slap(*options):
    """memcslap, a small load"""
    def check_it(server):
        for test in ("set", "get", "mget"):
            tool("memcslap", server, *options, f"--test={test}", "--concurrency=4",
                 "--execute-number=2000")
    return check_it


def tools_aslap(*options):
    """memcaslap, a mixed load with its own verification"""
    def check_it(server):
        status, output = run(need("memcaslap"), f"--servers=127.0.0.1:{server.port}",
                             "--threads=1", "--concurrency=16", "--execute_number=20000",
                             "--verify=0.1", "--win_size=1k", *options)
        check(status == 0, output)
        check(re.search(r"verify_failed: 0\b", output), output)
    return check_it


def capable(option, word, count):
    """memccapable: a name on stdout, followed by [pass] unless the test failed"""
    def check_it(server):
        done = subprocess.run([need("memccapable"), "-h", "127.0.0.1", "-p", str(server.port),
                               option, "-v"], capture_output=True, timeout=TIMEOUT_S)
        text = done.stdout.decode()
        results = re.findall(rf"({word} [a-z]+(?: noreply)?)\s*(\[pass\])?", text)
        failed = {name for name, passed in results if not passed}
        check(not failed, f"failed: {sorted(failed)}: {done.stderr.decode()}")
        check(len(results) >= count, text)
    return check_it


LOGIN = (USER, PASSWORD)
BINARY_LOGIN = ("--binary", f"--username={USER}", f"--password={PASSWORD}")

CHECKS = [
    ("pymemcache", plain, python("pymemcache_client", "pymemcache")),
    ("pymemcache, login", text_login, python("pymemcache_client", "pymemcache", "login", *LOGIN)),
    ("pymemcache, hashed", hashed, python("pymemcache_client", "pymemcache", "login", *LOGIN)),
    ("pymemcache, tenant", tenant, python("tenant", "pymemcache", "pymemcache", *LOGIN)),
    ("pymemcache, TLS", tls, pymemcache_tls),
    ("python-memcached", plain, python("python_memcached_client", "memcache")),
    ("pylibmc, text", plain, python("pylibmc_client", "pylibmc", "ascii")),
    ("pylibmc, binary", plain, python("pylibmc_client", "pylibmc", "binary")),
    ("pylibmc, SASL", sasl, python("pylibmc_client", "pylibmc", "binary", *LOGIN)),
    ("pylibmc, hashed", hashed, python("pylibmc_client", "pylibmc", "binary", *LOGIN)),
    ("pylibmc, tenant", tenant, python("tenant", "pylibmc", "pylibmc", *LOGIN)),
    ("bmemcached", plain, python("bmemcached_client", "bmemcached")),
    ("bmemcached, SASL", sasl, python("bmemcached_client", "bmemcached", *LOGIN)),
    ("bmemcached, hashed", hashed, python("bmemcached_client", "bmemcached", *LOGIN)),
    ("bmemcached, tenant", tenant, python("tenant", "bmemcached", "bmemcached", *LOGIN)),
    ("php-memcached, text", plain, php("ascii")),
    ("php-memcached, binary", plain, php("binary")),
    ("php-memcached, SASL", sasl, php("binary", *LOGIN)),
    ("php-memcached, hashed", hashed, php("binary", *LOGIN)),
    ("php-memcached, tenant", tenant, php_tenant),
    ("dalli", plain, dalli()),
    ("dalli, SASL", sasl, dalli(*LOGIN)),
    ("dalli, hashed", hashed, dalli(*LOGIN)),
    ("dalli, tenant", tenant, dalli_tenant),
    ("memjs", plain, memjs()),
    ("memjs, SASL", sasl, memjs(*LOGIN)),
    ("memjs, hashed", hashed, memjs(*LOGIN)),
    ("spymemcached, text", plain, spymemcached("ascii")),
    ("spymemcached, binary", plain, spymemcached("binary")),
    ("spymemcached, SASL", sasl, spymemcached("binary", *LOGIN)),
    ("spymemcached, hashed", hashed, spymemcached("binary", *LOGIN)),
    ("libmemcached tools, text", plain, tools_store_and_read()),
    ("libmemcached tools, binary", plain, tools_store_and_read("--binary")),
    ("libmemcached tools, SASL", sasl, tools_store_and_read(*BINARY_LOGIN)),
    ("libmemcached, wrong SASL", sasl, tools_refused),
    ("libmemcached tools, hashed", hashed, tools_store_and_read(*BINARY_LOGIN)),
    ("libmemcached, wrong hashed", hashed, tools_refused),
    ("libmemcached asking, text", plain, tools_ask()),
    ("libmemcached asking, binary", plain, tools_ask("--binary")),
    ("memcslap, text", plain, tools_slap()),
    ("memcslap, binary", plain, tools_slap("--binary")),
    ("memcaslap, text", plain, tools_aslap()),
    ("memcaslap, binary", plain, tools_aslap("--binary")),
    ("memccapable -a", plain, capable("-a", "ascii", 27)),
    ("memccapable -b", plain, capable("-b", "binary", 27)),
]


def run_check(name, make_server, check_it):
    """One check; prints its line, returns the word in it."""
    try:
        with make_server() as server:
            check_it(server)
        result, detail = "passed", ""
    except Skip as skip:
        result, detail = "SKIPPED", f": {skip}"
    except (AssertionError, subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        result, detail = "FAILED", f"\n{error}"
    print(f"{name:28} {result}{detail}", flush=True)
    return result


def main():
    wanted = sys.argv[1:]
    results = [run_check(*row) for row in CHECKS
               if not wanted or any(word in row[0] for word in wanted)]
    print(", ".join(f"{results.count(word)} {word.lower()}"
                    for word in ("passed", "FAILED", "SKIPPED")))
    return 1 if "FAILED" in results else 0


if __name__ == "__main__":
    sys.exit(main())
