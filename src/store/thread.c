/* store/thread.c — the threads' handles: quiescent states, recalled pieces, counters.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "store/store_priv.h"

int store_thread_new(struct store *store, struct store_thread **ret_thread)
{
    struct store_thread *thread = aligned_alloc(CACHE_LINE_BYTES, sizeof(*thread));
    if (thread == NULL)
        return -ENOMEM;
    memset(thread, 0, sizeof(*thread));
    thread->store = store;
    for (unsigned q = 0; q < QUEUE_COUNT; q++)
        for (unsigned c = 0; c < CLASS_COUNT; c++)
            thread->pieces[q][c].seg = SEG_NONE;
    spin_lock(&store->threads_lock);
    uint32_t index = 0;
    while (index < THREADS_MAX &&
           atomic_load_explicit(&store->threads[index], memory_order_relaxed) != NULL)
        index++;
    if (index == THREADS_MAX) {
        spin_unlock(&store->threads_lock);
        free(thread);
        return -ENOMEM;
    }
    thread->index = index;
    /* release: who finds the handle sees it initialised */
    atomic_store_explicit(&store->threads[index], thread, memory_order_release);
    if (index >= atomic_load_explicit(&store->thread_count, memory_order_relaxed))
        atomic_store_explicit(&store->thread_count, index + 1, memory_order_release);
    spin_unlock(&store->threads_lock);
    *ret_thread = thread;
    return 0;
}

void store_thread_arg_set(struct store_thread *thread, void *arg)
{
    thread->observer_arg = arg;
}

static void lines_give_back(struct store_thread *thread)
{
    struct store *store = thread->store;
    spin_lock(&store->lines_lock);
    while (thread->line_count > 0) {
        const uint32_t id = thread->lines[--thread->line_count];
        store->lines[id].link = store->line_free;
        store->line_free = id;
    }
    spin_unlock(&store->lines_lock);
}

void store_thread_free(struct store_thread *thread)
{
    if (thread == NULL)
        return;
    struct store *store = thread->store;
    store_thread_online(thread, thread->now_s); /* nobody steals from here on */
    pieces_retire(thread, false);
    lines_give_back(thread);
    spin_lock(&store->threads_lock);
    for (unsigned i = 0; i < COUNT_ID_COUNT; i++)
        store->gone_counters[i] += atomic_load_explicit(&thread->counters[i], memory_order_relaxed);
    for (unsigned i = 0; i < CLASS_HALF_OCTAVES; i++)
        store->gone_class_bytes[i] +=
            atomic_load_explicit(&thread->class_bytes[i], memory_order_relaxed);
    store->gone_all_bytes += atomic_load_explicit(&thread->all_bytes, memory_order_relaxed);
    atomic_store_explicit(&store->threads[thread->index], NULL, memory_order_release);
    spin_unlock(&store->threads_lock);
    atomic_fetch_add_explicit(&store->items_rough, thread->items_unreported, memory_order_relaxed);
    free(thread);
}

/* Who comes first at a delayed flush's time does it; before that thread serves anything. */
static void flush_if_due(struct store_thread *thread)
{
    uint32_t at_s = atomic_load_explicit(&thread->store->flush_at_s, memory_order_relaxed);
    if (UNLIKELY(at_s != 0 && at_s <= thread->now_s) &&
        atomic_compare_exchange_strong_explicit(&thread->store->flush_at_s, &at_s, 0,
                                                memory_order_acq_rel, memory_order_relaxed))
        store_flush(thread, 0);
}

void store_thread_online(struct store_thread *thread, uint32_t now_s)
{
    struct store *store = thread->store;
    thread->now_s = now_s;
    const uint64_t epoch = atomic_load_explicit(&store->epoch, memory_order_acquire);
    uint64_t word = THREAD_OFFLINE;
    unsigned rounds = 0;
    /* acquire: a thief of our pieces has finished with them */
    while (!atomic_compare_exchange_weak_explicit(&thread->word, &word, epoch, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
        word = THREAD_OFFLINE;
        spin_wait(&rounds);
    }
    atomic_thread_fence(memory_order_seq_cst); /* the word before any slot load: (2) */
    pieces_check(thread);
    flush_if_due(thread);
}

void store_thread_quiesce(struct store_thread *thread, uint32_t now_s)
{
    struct store *store = thread->store;
    thread->now_s = now_s;
    const uint64_t epoch = atomic_load_explicit(&store->epoch, memory_order_acquire);
    /* release: all we read under the old word was read before; skipped when nothing moved */
    if (epoch != atomic_load_explicit(&thread->word, memory_order_relaxed))
        atomic_store_explicit(&thread->word, epoch, memory_order_release);
    pieces_check(thread);
    flush_if_due(thread);
}

void store_thread_offline(struct store_thread *thread)
{
    pieces_check(thread);
    atomic_store_explicit(&thread->word, THREAD_OFFLINE, memory_order_release);
}

uint64_t epoch_advance(struct store *store)
{
    /* release: the unlinks before; a read-modify-write, so that later bumps pass them on */
    return atomic_fetch_add_explicit(&store->epoch, 1, memory_order_acq_rel) + 1;
}

uint64_t epoch_reached(struct store *store)
{
    atomic_thread_fence(memory_order_seq_cst); /* our unlinks before reading the words: (2) */
    uint64_t reached = UINT64_MAX;
    spin_lock(&store->threads_lock); /* a handle cannot be freed under our eyes */
    const uint32_t count = atomic_load_explicit(&store->thread_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct store_thread *thread =
            atomic_load_explicit(&store->threads[i], memory_order_acquire);
        if (thread == NULL)
            continue;
        /* acquire: what the thread read before it wrote this word has been read */
        const uint64_t word = atomic_load_explicit(&thread->word, memory_order_acquire);
        if (word >= EPOCH_FIRST && word < reached)
            reached = word;
    }
    spin_unlock(&store->threads_lock);
    return reached;
}

void threads_recall(struct store *store)
{
    atomic_fetch_add_explicit(&store->recall_gen, 1, memory_order_relaxed);
    spin_lock(&store->threads_lock);
    const uint32_t count = atomic_load_explicit(&store->thread_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct store_thread *thread =
            atomic_load_explicit(&store->threads[i], memory_order_acquire);
        uint64_t word = THREAD_OFFLINE;
        /* a sleeping thread cannot return its pieces: do it for it while its word is held */
        if (thread == NULL ||
            !atomic_compare_exchange_strong_explicit(&thread->word, &word, THREAD_STOLEN,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        pieces_retire(thread, true);
        atomic_store_explicit(&thread->word, THREAD_OFFLINE, memory_order_release);
    }
    spin_unlock(&store->threads_lock);
}

void counters_sum(struct store *store, uint64_t sum[COUNT_ID_COUNT])
{
    spin_lock(&store->threads_lock);
    memcpy(sum, store->gone_counters, sizeof(store->gone_counters));
    const uint32_t count = atomic_load_explicit(&store->thread_count, memory_order_acquire);
    for (uint32_t t = 0; t < count; t++) {
        struct store_thread *thread =
            atomic_load_explicit(&store->threads[t], memory_order_acquire);
        for (unsigned i = 0; thread != NULL && i < COUNT_ID_COUNT; i++)
            sum[i] += atomic_load_explicit(&thread->counters[i], memory_order_relaxed);
    }
    spin_unlock(&store->threads_lock);
}
