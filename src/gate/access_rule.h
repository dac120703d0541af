/* gate/access_rule.h — one rule of an access list, and the line that it stands on.
 *
 * Includes: base, gate/access.h.  Included by: gate's access lists.  Pure.
 * Threads:  any.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "gate/access.h"

enum gate_on { GATE_ON_ANY, GATE_ON_TCP, GATE_ON_UDP, GATE_ON_UNIX, GATE_ON_PORT, GATE_ON_ADDRESS };

struct gate_rule {
    struct ip_prefix prefix; /* of `all`: ::/0 */
    bool all, allow;
    bool dead;       /* set when the list is sealed */
    uint8_t classes; /* GATE_READ... */
    uint8_t on;      /* enum gate_on */
    uint16_t on_port;
    struct ip on_ip;
    uint32_t on_column; /* where that stands */
    struct gate_place place;
};

/* Read the rule on one line, without its end. Returns 1; 0: there is none; -EINVAL with
 * ret_mistake's column and words. */
MUST_USE int gate_rule_parse(struct bytes line, struct gate_rule *ret_rule,
                             struct gate_mistake *ret_mistake);
/* Read `all`, an address or a prefix that makes up all of `word`, which stands at `column`. Returns
 * 0 or -EINVAL likewise. */
MUST_USE int gate_rule_parse_prefix(struct bytes word, size_t column, struct gate_rule *rule,
                                    struct gate_mistake *ret_mistake);
void gate_rule_format(const struct gate_rule *rule, char ret_text[GATE_RULE_TEXT_BYTES]);
