/* fuzz_cli_dump.c — the file of `matte dump`, as `matte load` reads it; the first byte chooses
 * whether its checksums are made right, so that what lies behind them is reached as well.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "cli/dumpfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct bytes part, struct bytes whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

/* Written again, it is the same. */
static void check_again(const struct cli_dump_item *item, uint64_t number, struct bytes record)
{
    struct cli_dump_frame frame;
    cli_dump_item_frame(item, number, &frame);
    assert(record.len == frame.head_bytes + item->value.len + sizeof(frame.sum));
    assert(memcmp(record.ptr, frame.head, frame.head_bytes) == 0);
    assert(memcmp(record.ptr + record.len - sizeof(frame.sum), frame.sum, sizeof(frame.sum)) == 0);
}

static void sum_set(uint8_t *file, size_t record, size_t bytes, uint64_t number)
{
    const uint64_t sum = hash_bytes(bytes_of(file + record, bytes), number);
    for (size_t i = 0; i < 8; i++)
        file[record + bytes + i] = (uint8_t)(sum >> (8 * i));
}

static void records(uint8_t *file, size_t size, bool right)
{
    size_t at = 0;
    for (uint64_t number = 0;; number++) {
        struct cli_dump_record record;
        size_t used = 0;
        const struct bytes in = bytes_of(file + at, size - at);
        enum cli_dump_rc rc = cli_dump_record_parse(in, number, &record, &used);
        if (rc == CLI_DUMP_BAD && right && used <= in.len) {
            sum_set(file, at, used - CLI_DUMP_SUM_BYTES, number);
            rc = cli_dump_record_parse(in, number, &record, &used);
        }
        if (rc == CLI_DUMP_MORE)
            assert(used > in.len);
        if (rc != CLI_DUMP_WHOLE)
            return;
        assert(used <= in.len);
        if (record.is_end)
            return;
        assert(inside(record.item.key, in) && inside(record.item.value, in));
        check_again(&record.item, number, bytes_of(in.ptr, used));
        at += used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint64_t created_s;
    uint8_t *copy = malloc(size);
    if (copy == NULL)
        abort();
    memcpy(copy, data + 1, size - 1);
    if (cli_dump_head_parse(bytes_of(copy, size - 1), &created_s) == CLI_DUMP_WHOLE)
        records(copy + CLI_DUMP_HEAD_BYTES, size - 1 - CLI_DUMP_HEAD_BYTES, data[0] % 2 == 1);
    else
        records(copy, size - 1, data[0] % 2 == 1);
    free(copy);
    return 0;
}
