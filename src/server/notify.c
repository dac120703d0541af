/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/num.h"

int notify_address_parse(const char *text, struct sockaddr_un *ret_addr, socklen_t *ret_len)
{
    const size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || len < 2)
        return -EINVAL;
    if (len >= sizeof(ret_addr->sun_path))
        return -ENAMETOOLONG;
    *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_addr->sun_path, text, len);
    const bool abstract = text[0] == '@';
    if (abstract)
        ret_addr->sun_path[0] = '\0';
    /* An abstract name has no end but its length. */
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (abstract ? 0 : 1));
    return 0;
}

void notify_open(struct notify *notify)
{
    enum { PATIENCE_S = 5 };
    notify->fd = -1;
    const char *text = getenv("NOTIFY_SOCKET");
    if (text == NULL || text[0] == '\0')
        return;
    struct sockaddr_un addr;
    socklen_t len;
    int rc = notify_address_parse(text, &addr, &len);
    const int fd = rc == 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (rc == 0 && (fd < 0 || connect(fd, (struct sockaddr *)&addr, len) != 0))
        rc = -errno;
    if (rc != 0) {
        log_line(LOG_ERROR, "warning: cannot tell the service manager, NOTIFY_SOCKET %.120s: %s",
                 text, strerror(-rc));
        if (fd >= 0)
            close(fd);
        return;
    }
    /* Wait for a manager that is behind, but not for one that hangs. */
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    notify->fd = fd;
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}

/* write() and not send(): the thread of the watchdog may do nothing else (confine.c). */
void notify_send(const struct notify *notify, const char *lines)
{
    if (notify->fd < 0)
        return;
    const int saved = errno;
    (void)!write(notify->fd, lines, strlen(lines));
    errno = saved;
}

uint64_t notify_watchdog_us(const char *usec, const char *watchdog_pid, long pid)
{
    uint64_t us, whose;
    if (usec == NULL || !num_parse_u64(bytes_str(usec), UINT64_MAX - 1, &us))
        return 0;
    if (watchdog_pid != NULL &&
        (!num_parse_u64(bytes_str(watchdog_pid), INT64_MAX, &whose) || whose != (uint64_t)pid))
        return 0;
    return us;
}
