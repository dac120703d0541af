/* cli/userfile.h — a file of users that is changed as a whole, or not at all.
 *
 *     cli_userfile_open ─► cli_userfile_edit ─► cli_userfile_replace ─► cli_userfile_close
 *
 * The new content goes to a file beside it, with the old one's owner and mode, which then takes its
 * name: who reads it sees the old content or the new one, also after a crash. A lock keeps a second
 * writer waiting.
 *
 * Includes: base, gate.  Included by: cli and its tests.
 * Threads:  one.
 * Memory:   the content twice, 16 MiB each at most; overwritten before it is freed.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <sys/stat.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_USERFILE_FAULT_BYTES = 500 };

struct cli_userfile {
    char *path; /* without symbolic links */
    int fd;     /* locked */
    bool made;  /* it was not there, and is removed unless it gets content */
    struct stat stat;
    uint8_t *text;
    size_t text_bytes, text_cap;
};

/* Open it, locked, and read it; `make`: it need not exist. Returns false with a line in `fault`.
 * Owns: cli_userfile_close(), on success. */
MUST_USE bool cli_userfile_open(struct cli_userfile *file, const char *path, bool make,
                                char fault[CLI_USERFILE_FAULT_BYTES]);
void cli_userfile_close(struct cli_userfile *file);

/* Copy `text` to `dst` (room for text.len + line.len + 2 bytes) with `line` instead of the lines
 * of this user, or behind all others if there are none; an empty `line` only takes them out. Lines
 * of others stay as they are. Returns the length. */
size_t cli_userfile_edit(struct bytes text, struct bytes name, struct bytes line, uint8_t *dst,
                         size_t *ret_found);

/* Have the content replaced. Returns false with a line in `fault`; the file is as it was then. */
MUST_USE bool cli_userfile_replace(struct cli_userfile *file, struct bytes text,
                                   char fault[CLI_USERFILE_FAULT_BYTES]);
