/* Descriptors that wait: sockets on the loopback, epoll, poll, eventfd, timerfd, passed descriptors. */
#include "t.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

static void test_tcp(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, b;
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, v = 0;
    OK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    OK(bind(s, (struct sockaddr *)&a, sizeof a) == 0 && listen(s, 5) == 0);
    OK(getsockname(s, (struct sockaddr *)&a, &len) == 0 && len == sizeof a && a.sin_port != 0);
    pid_t pid = t_fork();
    if (pid == 0) {
        char buf[100];
        int c = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c, (struct sockaddr *)&a, sizeof a) != 0)
            _exit(1);
        ssize_t n = recv(c, buf, sizeof buf, 0);
        _exit(n != 5 || send(c, buf, 5, MSG_NOSIGNAL) != 5);
    }
    len = sizeof b;
    int c = accept4(s, (struct sockaddr *)&b, &len, SOCK_CLOEXEC);
    OK(c >= 0 && b.sin_family == AF_INET && b.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    OK(setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    len = sizeof v;
    OK(getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &v, &len) == 0 && v != 0 && len == sizeof v);
    struct iovec iov[2] = { { "he", 2 }, { "llo", 3 } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
    OK(sendmsg(c, &m, 0) == 5);
    char buf[100];
    OK(recv(c, buf, sizeof buf, 0) == 5 && !memcmp(buf, "hello", 5));
    OK(recv(c, buf, sizeof buf, 0) == 0);
    int st;
    OK(waitpid(pid, &st, 0) == pid && st == 0);
    OK(shutdown(c, SHUT_RDWR) == 0 || errno == ENOTCONN);
    close(c);
    close(s);
    OK(socket(AF_INET, 99, 0) == -1 && errno == EINVAL);
}

static void test_unix(void)
{
    int p[2], q[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 && pipe(q) == 0);
    char control[CMSG_SPACE(sizeof(int))] = "";
    struct iovec iov = { "x", 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &q[1], sizeof(int));
    OK(sendmsg(p[0], &m, 0) == 1);
    char byte;
    iov.iov_base = &byte;
    memset(control, 0, sizeof control);
    m.msg_controllen = sizeof control;
    OK(recvmsg(p[1], &m, 0) == 1 && (c = CMSG_FIRSTHDR(&m)) && c->cmsg_type == SCM_RIGHTS);
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    OK(fd != q[1] && write(fd, "via", 3) == 3);
    char buf[8];
    OK(read(q[0], buf, 8) == 3 && !memcmp(buf, "via", 3));
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "/tmp/dragoman-sock-%d", getpid());
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), t = socket(AF_UNIX, SOCK_DGRAM, 0);
    OK(bind(s, (struct sockaddr *)&a, sizeof a) == 0);
    OK(sendto(t, "dgram", 5, 0, (struct sockaddr *)&a, sizeof a) == 5 && recvfrom(s, buf, 8, 0, NULL, NULL) == 5);
    struct mmsghdr mm[2] = { 0 };
    char two[2][8];
    struct iovec vec[2] = { { two[0], 8 }, { two[1], 8 } };
    for (int i = 0; i < 2; i++) {
        mm[i].msg_hdr.msg_iov = &vec[i];
        mm[i].msg_hdr.msg_iovlen = 1;
        sendto(t, i ? "bb" : "a", (size_t)i + 1, 0, (struct sockaddr *)&a, sizeof a);
    }
    OK(recvmmsg(s, mm, 2, 0, NULL) == 2 && mm[0].msg_len == 1 && mm[1].msg_len == 2);
    unlink(a.sun_path);
}

static void test_epoll(void)
{
    int e = epoll_create1(EPOLL_CLOEXEC), p[2], ev = eventfd(3, EFD_NONBLOCK);
    struct epoll_event in = { .events = EPOLLIN, .data.u64 = 0x1122334455667788 }, out[4];
    OK(e >= 0 && pipe2(p, O_NONBLOCK) == 0);
    OK(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &in) == 0);
    OK(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &in) == -1 && errno == EEXIST);
    OK(epoll_wait(e, out, 4, 0) == 0);
    OK(write(p[1], "1", 1) == 1 && epoll_wait(e, out, 4, 1000) == 1);
    OK(out[0].events == EPOLLIN && out[0].data.u64 == 0x1122334455667788);
    in.data.fd = ev;
    epoll_ctl(e, EPOLL_CTL_ADD, ev, &in);
    OK(epoll_pwait(e, out, 4, 1000, NULL) == 2);
    uint64_t v;
    OK(read(ev, &v, 8) == 8 && v == 3 && read(ev, &v, 8) == -1 && errno == EAGAIN);
    OK(epoll_ctl(e, EPOLL_CTL_DEL, p[0], NULL) == 0);
    OK(epoll_wait(e, out, 0, 0) == -1 && errno == EINVAL);
    struct pollfd pf[2] = { { p[0], POLLIN, 0 }, { p[1], POLLOUT, 0 } };
    OK(poll(pf, 2, 1000) == 2 && pf[0].revents == POLLIN && pf[1].revents == POLLOUT);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    struct timeval tv = { 1, 0 };
    OK(select(p[0] + 1, &set, NULL, NULL, &tv) == 1 && FD_ISSET(p[0], &set));
    int n = 0;
    OK(ioctl(p[0], FIONREAD, &n) == 0 && n == 1);
    OK(fcntl(p[0], F_GETFL) == O_NONBLOCK);
    int tfd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec it = { { 0, 0 }, { 0, 5000000 } };
    OK(timerfd_settime(tfd, 0, &it, NULL) == 0 && read(tfd, &v, 8) == 8 && v == 1);
    int in_fd = inotify_init1(IN_NONBLOCK);
    char dir[] = "/tmp/dragoman-net-XXXXXX", name[64], buf[256];
    OK(mkdtemp(dir) && inotify_add_watch(in_fd, dir, IN_CREATE) > 0);
    snprintf(name, sizeof name, "%s/f", dir);
    close(creat(name, 0600));
    struct inotify_event *ie = (struct inotify_event *)buf;
    OK(read(in_fd, buf, sizeof buf) > 0 && ie->mask == IN_CREATE && !strcmp(ie->name, "f"));
    unlink(name);
    rmdir(dir);
}

/* All that is ready comes in one call, however much that is. */
static void test_many_events(void)
{
    enum { MANY = 5000 };
    struct rlimit old, more;
    int e = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(1, 0), last = ev;
    struct epoll_event in = { .events = EPOLLIN }, *out = calloc(2 * MANY, sizeof *out);

    getrlimit(RLIMIT_NOFILE, &old);
    more = old;
    more.rlim_cur = more.rlim_max;
    if (more.rlim_max < MANY + 100 || setrlimit(RLIMIT_NOFILE, &more) != 0) {
        t_skip("not so many descriptors");
        return;
    }
    for (int i = 0; i < MANY && last >= 0; i++) {
        last = dup(ev);
        in.data.u64 = (uint64_t)last;
        if (last >= 0)
            epoll_ctl(e, EPOLL_CTL_ADD, last, &in);
    }
    OK(last >= MANY && epoll_wait(e, out, 2 * MANY, 1000) == MANY);
    OK(out[MANY - 1].events == EPOLLIN && out[MANY - 1].data.u64 == (uint64_t)last);
    for (int fd = ev + 1; fd <= last; fd++)
        close(fd);
    close(ev);
    close(e);
    setrlimit(RLIMIT_NOFILE, &old);
    free(out);
}

int main(void)
{
    test_tcp();
    test_unix();
    test_epoll();
    test_many_events();
    return t_done();
}
