#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tools/embed_page.py OUTPUT — make one C file of the admin page, for src/web/page.h.

Puts style.css, page.js and uPlot (src/web/vendor) into index.html, where it says so, and writes
the Content-Security-Policy that allows exactly these and requests to where the page came from. The
files of vendor/ must have the sums that its README names.
"""

import base64
import hashlib
import json
import pathlib
import re
import sys

WEB = pathlib.Path(__file__).resolve().parents[1] / "src/web"
COLUMNS = 20  # bytes per line of the array


def vendored(name):
    """The text of a vendored file, if it is the one that was looked at."""
    data = (WEB / "vendor" / name).read_bytes()
    readme = (WEB / "vendor/README.md").read_text()
    row = re.search(rf"`{re.escape(name)}`.*`([0-9a-f]{{64}})`", readme)
    if not row or hashlib.sha256(data).hexdigest() != row[1]:
        sys.exit(f"embed_page: vendor/{name} is not the file of vendor/README.md")
    return data.decode()


def source(name):
    return (WEB / "page" / name).read_text()


def page_script():
    """page.js with the table of security events: name -> [severity, action, help]."""
    rows = re.findall(r'^EVENT\(\w+,\s*\d+, "(\w+)",\s*(\w+),\s*(\d), .*"([^"]+)"\)$',
                      (WEB.parent / "tbl/events.def").read_text(), re.M)
    table = {name: [int(severity), action.lower(), text] for name, action, severity, text in rows}
    place, script = "/* events */ {}", source("page.js")
    if script.count(place) != 1 or not table:
        sys.exit(f"embed_page: page.js must have one {place}")
    return script.replace(place, json.dumps(table))


def policy(scripts, styles):
    def sums(texts):
        return " ".join(
            "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
            for text in texts)
    return "; ".join([
        "default-src 'none'", f"script-src {sums(scripts)}", f"style-src {sums(styles)}",
        "connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'",
        "frame-ancestors 'none'"])


def main():
    scripts = [vendored("uPlot.iife.min.js").strip(), page_script()]
    styles = [vendored("uPlot.min.css").strip(), source("style.css")]
    for text in scripts + styles:
        if "</s" in text.lower():
            sys.exit("embed_page: something would end its own element")
    page = source("index.html")
    for place, texts, tag in (("<!-- styles -->", styles, "style"),
                              ("<!-- scripts -->", scripts, "script")):
        if page.count(place) != 1:
            sys.exit(f"embed_page: index.html must have one {place}")
        page = page.replace(place, "\n".join(f"<{tag}>{text}</{tag}>" for text in texts))
    data = page.encode()
    rows = [", ".join(str(byte) for byte in data[at:at + COLUMNS])
            for at in range(0, len(data), COLUMNS)]
    pathlib.Path(sys.argv[1]).write_text(
        "/* Made by tools/embed_page.py from src/web/page and src/web/vendor. */\n"
        '#include "web/page.h"\n\n'
        f"const size_t page_bytes_count = {len(data)};\n"
        "const uint8_t page_bytes[] = {\n" + ",\n".join(rows) + "};\n"
        "const char page_headers[] =\n"
        f'    "Content-Security-Policy: {policy(scripts, styles)}\\r\\n";\n')


if __name__ == "__main__":
    main()
