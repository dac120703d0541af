/* SPDX-License-Identifier: BSD-3-Clause */
#include "hot/sketch.h"

/* The lower half of the hash chooses the cells, the upper one tells keys of a cell apart. */
static unsigned column_of(unsigned row, uint64_t hash)
{
    enum { COLUMN_BITS = 10 };
    _Static_assert(1 << COLUMN_BITS == HOT_COLUMNS && COLUMN_BITS * HOT_ROWS <= 32, "enough bits");
    return (unsigned)(hash >> (row * COLUMN_BITS)) % HOT_COLUMNS;
}

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* Is it to give way to another key, one of its additions less? */
static bool is_worn(const struct hot_cell *cell, float weight, uint32_t random)
{
    enum { UNITS_MAX = 256 }; /* 1.08^-256 is 3e-9 */
    const float units = cell->count / weight;
    if (units >= UNITS_MAX)
        return false;
    return (float)random < 0x1p32f * hot_power(1 / 1.08f, (uint32_t)units);
}

/* Returns the count of the cell when it belongs to the key now, or 0. */
static float cell_add(struct hot_cell *cell, uint32_t tag, float weight, uint32_t random)
{
    if (cell->tag != tag || cell->count <= 0) {
        if (cell->count >= weight / 2 && is_worn(cell, weight, random))
            cell->count -= weight;
        if (cell->count >= weight / 2)
            return 0;
        cell->tag = tag;
        cell->count = 0;
    }
    return cell->count += weight;
}

/* Returns HOT_TOP when it is not in the list. */
static uint32_t top_find(const struct hot_top *top, uint64_t hash)
{
    for (uint32_t i = 0; i < top->used; i++)
        if (top->hash[i] == hash)
            return i;
    return HOT_TOP;
}

/* The place of a key that has come `count` times: a free one, or that of the last of the list, if
 * it has come less often. Returns HOT_TOP when there is none. */
static uint32_t top_place(struct hot_top *top, float count)
{
    if (top->used < HOT_TOP)
        return top->used++;
    uint32_t last = 0;
    for (uint32_t i = 1; i < HOT_TOP; i++)
        if (top->count[i] < top->count[last])
            last = i;
    return top->count[last] < count ? last : HOT_TOP;
}

static void top_enter(struct hot_top *top, struct bytes key, uint64_t hash, float count)
{
    const uint32_t at = top_place(top, count);
    if (at == HOT_TOP)
        return;
    top->hash[at] = hash;
    top->count[at] = count;
    top->len[at] = (uint8_t)key.len;
    memcpy(top->text[at], key.ptr, key.len);
}

void hot_sketch_add(struct hot_sketch *sketch, struct bytes key, uint64_t hash, float weight,
                    uint32_t random)
{
    if (key.len == 0 || key.len > HOT_KEY_BYTES_MAX)
        return;
    float count = 0;
    for (unsigned row = 0; row < HOT_ROWS; row++) {
        struct hot_cell *cell = &sketch->cell[row][column_of(row, hash)];
        const float here = cell_add(cell, tag_of(hash), weight, random);
        if (here > count)
            count = here;
        random = random * 0x9e3779b1u + 0x7f4a7c15u; /* another one for the other row */
    }
    const uint32_t at = top_find(&sketch->top, hash);
    if (at < HOT_TOP)
        sketch->top.count[at] += weight; /* its cells may be shared, this is not */
    else if (count > 0)
        top_enter(&sketch->top, key, hash, count);
}

float hot_sketch_count(const struct hot_sketch *sketch, uint64_t hash)
{
    const uint32_t at = top_find(&sketch->top, hash);
    if (at < HOT_TOP)
        return sketch->top.count[at];
    float count = 0;
    for (unsigned row = 0; row < HOT_ROWS; row++) {
        const struct hot_cell *cell = &sketch->cell[row][column_of(row, hash)];
        if (cell->tag == tag_of(hash) && cell->count > count)
            count = cell->count;
    }
    return count;
}

/* What is next to nothing becomes nothing: denormal numbers would be slow. */
static float aged(float count, float factor)
{
    const float less = count * factor;
    return less > 1e-3f ? less : 0;
}

void hot_sketch_age(struct hot_sketch *sketch, float factor)
{
    for (unsigned row = 0; row < HOT_ROWS; row++)
        for (unsigned i = 0; i < HOT_COLUMNS; i++)
            sketch->cell[row][i].count = aged(sketch->cell[row][i].count, factor);
    for (uint32_t i = 0; i < sketch->top.used; i++)
        sketch->top.count[i] = aged(sketch->top.count[i], factor);
}
