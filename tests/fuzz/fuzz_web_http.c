/* fuzz_web_http.c — requests of the admin listener, and what their headers may say.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "web/door.h"
#include "web/http.h"
#include "web/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct bytes part, struct bytes whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

/* Without its last byte it asks for more; alone it is the same. */
static void check_alone(struct bytes in)
{
    uint8_t *copy = malloc(in.len);
    if (copy == NULL)
        abort();
    memcpy(copy, in.ptr, in.len);
    struct http_request request;
    size_t used = 0;
    unsigned status = 0;
    assert(http_parse(bytes_of(copy, in.len), &request, &used, &status) == HTTP_OK);
    assert(used == in.len);
    assert(http_parse(bytes_of(copy, in.len - 1), &request, &used, &status) == HTTP_MORE);
    free(copy);
}

static void headers_check(const struct http_request *request)
{
    static struct door_tokens tokens;
    if (tokens.count == 0 && door_tokens_parse(bytes_str("0123456789abcdef"), &tokens) != NULL)
        abort();
    (void)!door_host_is_ours(request->host, "a+b");
    (void)!door_token_check(&tokens, request->authorization);
    uint64_t value = 0;
    if (http_query_u64(request->query, "since", 1000, &value))
        assert(value <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct door_tokens tokens;
    struct out out;
    out_init(&out);
    json_rows(&out, in);
    json_reachable(&out, in);
    out_fini(&out);
    if (door_tokens_parse(in, &tokens) == NULL)
        assert(tokens.count > 0 && tokens.count <= DOOR_TOKENS_MAX);
    for (;;) {
        struct http_request request;
        size_t used = 0;
        unsigned status = 0;
        switch (http_parse(in, &request, &used, &status)) {
        case HTTP_MORE:
            assert(in.len < HTTP_HEAD_BYTES_MAX);
            return 0;
        case HTTP_BAD:
            assert(status >= 400 && http_status_words(status)[0] != '\0');
            return 0;
        case HTTP_OK:
            break;
        }
        assert(used > 0 && used <= in.len && used <= HTTP_HEAD_BYTES_MAX);
        assert(request.path.len > 0 && request.path.ptr[0] == '/');
        assert(inside(request.path, in) && inside(request.query, in) && inside(request.host, in) &&
               inside(request.authorization, in));
        headers_check(&request);
        check_alone(bytes_of(in.ptr, used));
        in = bytes_skip(in, used);
    }
}
