/* cli/advisory.c — published weaknesses of a version of memcached.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/num.h"
#include "cli/facts.h"
#include "cli/version.h"

enum needs { NEEDS_ANY, NEEDS_BINARY, NEEDS_SASL, NEEDS_UDP };

static const struct {
    const char *id, *first, *last;
    enum cli_grade grade;
    enum needs needs;
    const char *what;
} advisories[] = {
#define ADVISORY(id, first, last, grade, needs, what)                                              \
    {id, first, last, CLI_GRADE_##grade, NEEDS_##needs, what},
#include "tbl/advisories.def"
};

bool cli_version_parse(struct bytes text, uint64_t *ret_version)
{
    uint64_t version = 0;
    for (int part = 0; part < 3; part++) {
        size_t len = 0;
        while (len < text.len && text.ptr[len] >= '0' && text.ptr[len] <= '9')
            len++;
        uint64_t number;
        if (!num_parse_u64(bytes_of(text.ptr, len), UINT16_MAX, &number))
            return false;
        version = version << 16 | number;
        text = bytes_skip(text, len);
        if (part < 2 && (text.len == 0 || text.ptr[0] != '.'))
            return false;
        text = part < 2 ? bytes_skip(text, 1) : text;
    }
    *ret_version = version;
    return true;
}

/* Is what the weakness needs seen to be off? */
static bool is_off(const struct cli_facts *facts, enum needs needs)
{
    switch (needs) {
    case NEEDS_ANY:
        return false;
    case NEEDS_BINARY:
        return facts->binary != CLI_SPEECH_OPEN && facts->binary != CLI_SPEECH_LOGIN;
    case NEEDS_SASL:
        return facts->mechanisms[0] == '\0';
    case NEEDS_UDP:
        return facts->udp.state == CLI_UDP_CLOSED;
    }
    return false;
}

void cli_advisories_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    uint64_t version, first, last;
    if (facts->is_matted || !cli_version_parse(bytes_str(facts->version), &version))
        return;
    for (size_t i = 0; i < COUNT_OF(advisories); i++) {
        if (!cli_version_parse(bytes_str(advisories[i].first), &first) ||
            !cli_version_parse(bytes_str(advisories[i].last), &last) || version < first ||
            version > last)
            continue;
        const bool off = is_off(facts, advisories[i].needs);
        cli_finding_add(findings, off ? CLI_GRADE_NOTE : advisories[i].grade, "advisory",
                        "%s: %s (%s to %s; a distribution may have repaired it)%s",
                        advisories[i].id, advisories[i].what, advisories[i].first,
                        advisories[i].last, off ? "; what it needs is off here" : "");
    }
}
