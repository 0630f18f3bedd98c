/* Devices and their ioctls: terminals with their jobs and windows, loop devices, tunnels, sockets' interfaces. */
#include "t.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/loop.h>
#include <net/if.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

static volatile sig_atomic_t resized;

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static void on_winch(int sig)
{
    resized++;
}

/* In a session of its own, with the terminal as the controlling one. */
static int session(int tty)
{
    struct winsize w = {0};
    signal(SIGWINCH, on_winch);
    if (setsid() < 0 || ioctl(tty, TIOCSCTTY, 0) != 0 || tcgetsid(tty) != getpid() || tcgetpgrp(tty) != getpid())
        return 1;
    char c = 'r';
    write(tty, &c, 1); /* ready to be resized */
    while (!resized)
        usleep(1000);
    if (ioctl(tty, TIOCGWINSZ, &w) != 0 || w.ws_row != 33 || w.ws_col != 99)
        return 2;
    pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        char buf[4];
        read(tty, buf, 1); /* of a job in the background: SIGTTIN */
        _exit(3);
    }
    int st;
    if (waitpid(job, &st, WUNTRACED) != job || !WIFSTOPPED(st) || WSTOPSIG(st) != SIGTTIN)
        return 3;
    kill(job, SIGKILL);
    waitpid(job, &st, 0);
    write(tty, &c, 1); /* ready to be interrupted from the keyboard */
    for (;;)
        pause();
}

static void test_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), number = -1;
    char name[64], c = 0;
    OK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    OK(ioctl(master, TIOCGPTN, &number) == 0 && snprintf(name, sizeof name, "/dev/pts/%d", number) > 0 &&
       !strcmp(name, ptsname(master)));
    int tty = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    OK(tty >= 0 && isatty(tty) && !strcmp(ttyname(tty) ? ttyname(tty) : "", name));
    struct termios t;
    OK(tcgetattr(tty, &t) == 0 && (t.c_lflag & ICANON) && (t.c_lflag & ECHO) && t.c_cc[VINTR] == 3);
    write(master, "ab\177c\n", 5); /* edited: a, c */
    char line[16] = "";
    OK(read(tty, line, sizeof line) == 3 && !memcmp(line, "ac\n", 3));
    tcflush(master, TCIFLUSH);
    cfmakeraw(&t);
    OK(tcsetattr(tty, TCSANOW, &t) == 0 && write(master, "\177", 1) == 1 && read(tty, line, 1) == 1 &&
       line[0] == '\177');
    t.c_lflag |= ISIG | ICANON;
    t.c_iflag |= ICRNL;
    tcsetattr(tty, TCSANOW, &t);
    int there = 0;
    write(master, "xyz\n", 4);
    struct pollfd p = {tty, POLLIN, 0};
    OK(poll(&p, 1, 10000) == 1 && ioctl(tty, FIONREAD, &there) == 0 && there == 4 && read(tty, line, sizeof line) == 4);
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(session(tty));
    struct winsize w = {.ws_row = 33, .ws_col = 99};
    OK(read(master, &c, 1) == 1 && c == 'r' && ioctl(master, TIOCSWINSZ, &w) == 0);
    OK(read(master, &c, 1) == 1 && write(master, "\003", 1) == 1 && status_of(pid) == -SIGINT);
    close(tty);
    close(master);
}

static void test_loop(void)
{
    char name[64];
    int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
    snprintf(name, sizeof name, "/dev/loop%d", n);
    int dev = n < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
    if (dev < 0) {
        t_skip("no loop devices");
        return;
    }
    char path[] = "/tmp/dragoman-loop-XXXXXX", page[4096] = "", back[4096];
    int file = mkstemp(path);
    unlink(path);
    ftruncate(file, 1 << 20);
    struct loop_config config = {
        .fd = (unsigned)file, .block_size = 512, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR, .lo_sizelimit = 64 << 10}};
    memcpy(config.info.lo_file_name, "dragoman", 9);
    if (ioctl(dev, LOOP_CONFIGURE, &config) != 0) {
        t_skip("the loop device is taken");
        close(dev);
        return;
    }
    struct loop_info64 info = {0};
    uint64_t size = 0;
    int sector = 0;
    OK(ioctl(dev, LOOP_GET_STATUS64, &info) == 0 && info.lo_sizelimit == 64 << 10 &&
       !strcmp((char *)info.lo_file_name, "dragoman"));
    OK(ioctl(dev, BLKGETSIZE64, &size) == 0 && size == 64 << 10 && ioctl(dev, BLKSSZGET, &sector) == 0 &&
       sector == 512);
    memset(page, 'z', sizeof page);
    OK(pwrite(dev, page, sizeof page, 8192) == sizeof page && fsync(dev) == 0 &&
       pread(file, back, sizeof back, 8192) == sizeof back && !memcmp(page, back, sizeof page));
    uint64_t range[2] = {8192, 4096};
    OK(ioctl(dev, BLKZEROOUT, range) == 0 && fsync(dev) == 0 && pread(file, back, 1, 8192) == 1 && back[0] == 0);
    OK(ioctl(dev, LOOP_CLR_FD) == 0);
    close(dev);
    close(file);
    close(ctl);
}

static int tunnel(void)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (unshare(CLONE_NEWNET) != 0)
        return 77;
    int tun = open("/dev/net/tun", O_RDWR), s = socket(AF_INET, SOCK_DGRAM, 0);
    if (tun < 0)
        return 77;
    strcpy(r.ifr_name, "drag%d");
    if (ioctl(tun, TUNSETIFF, &r) != 0 || strcmp(r.ifr_name, "drag0") != 0)
        return 1;
    unsigned features = 0;
    if (ioctl(tun, TUNGETFEATURES, &features) != 0 || !(features & IFF_TUN) || ioctl(tun, TUNSETPERSIST, 0) != 0)
        return 2;
    r.ifr_mtu = 1400;
    if (ioctl(s, SIOCSIFMTU, &r) != 0 || ioctl(s, SIOCGIFMTU, &r) != 0 || r.ifr_mtu != 1400)
        return 3;
    if (ioctl(s, SIOCGIFINDEX, &r) != 0 || (unsigned)r.ifr_ifindex != if_nametoindex("drag0"))
        return 4;
    struct ifreq some[8];
    struct ifconf all = {.ifc_len = sizeof some, .ifc_req = some};
    if (ioctl(s, SIOCGIFCONF, &all) != 0 || ioctl(s, SIOCGIFFLAGS, &r) != 0 || (r.ifr_flags & IFF_UP))
        return 5;
    r.ifr_flags |= IFF_UP;
    return ioctl(s, SIOCSIFFLAGS, &r) == 0 && ioctl(s, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_UP) ? 0 : 6;
}

int main(void)
{
    test_terminal();
    test_loop();
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(tunnel());
    int st = status_of(pid);
    if (st == 77)
        t_skip("no tunnels");
    else
        OK(st == 0);
    OK(ioctl(0, 0xae00 /* KVM_GET_API_VERSION */, 0) == -1 && errno == ENOTTY);
    return t_done();
}
