/* System V and POSIX interprocess communication. */
#include "t.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

int main(void)
{
    int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
    char *p = shmat(id, NULL, 0);
    OK(id >= 0 && p != (char *)-1);
    struct shmid_ds ds;
    OK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_segsz == 10000 && ds.shm_nattch == 1 && ds.shm_cpid == getpid() &&
       (ds.shm_perm.mode & 0777) == 0600);
    pid_t pid = t_fork();
    if (pid == 0) {
        strcpy(p, "from the child");
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    OK(!strcmp(p, "from the child"));
    char *q = shmat(id, NULL, SHM_RDONLY);
    OK(q != (char *)-1 && q != p && !strcmp(q, p));
    OK(shmdt(q) == 0 && shmdt(q) == -1 && errno == EINVAL);
    OK(shmdt(p) == 0 && shmctl(id, IPC_RMID, NULL) == 0);

    id = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
    struct semid_ds sd;
    union semun u = { .val = 5 };
    unsigned short all[3];
    OK(id >= 0 && semctl(id, 1, SETVAL, u) == 0 && semctl(id, 1, GETVAL) == 5);
    struct sembuf op = { 1, -2, 0 };
    OK(semop(id, &op, 1) == 0 && semctl(id, 1, GETVAL) == 3);
    u.buf = &sd;
    OK(semctl(id, 0, IPC_STAT, u) == 0 && sd.sem_nsems == 3 && sd.sem_otime > 1600000000 && sd.sem_ctime > 1600000000);
    u.array = all;
    OK(semctl(id, 0, GETALL, u) == 0 && all[1] == 3);
    struct timespec ts = { 0, 1000000 };
    op.sem_op = -9;
    OK(semtimedop(id, &op, 1, &ts) == -1 && errno == EAGAIN);
    OK(semctl(id, 0, IPC_RMID) == 0);

    id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct {
        long type;
        char text[32];
    } m = { 7, "message" };
    OK(id >= 0 && msgsnd(id, &m, 8, 0) == 0);
    memset(&m, 0, sizeof m);
    OK(msgrcv(id, &m, 32, 7, 0) == 8 && m.type == 7 && !strcmp(m.text, "message"));
    struct msqid_ds md;
    OK(msgctl(id, IPC_STAT, &md) == 0 && md.msg_qnum == 0 && md.msg_lspid == getpid());
    OK(msgrcv(id, &m, 32, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
    OK(msgctl(id, IPC_RMID, NULL) == 0);

    struct mq_attr a = { .mq_maxmsg = 4, .mq_msgsize = 16 }, b;
    char name[32], buf[16];
    snprintf(name, sizeof name, "/dragoman-%d", getpid());
    mqd_t mq = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &a);
    if (mq == (mqd_t)-1 && (errno == ENOSYS || errno == EACCES)) {
        OK(1);
        return t_done();
    }
    unsigned prio;
    OK(mq != (mqd_t)-1 && mq_getattr(mq, &b) == 0 && b.mq_maxmsg == 4 && b.mq_msgsize == 16 && b.mq_flags == O_NONBLOCK);
    OK(mq_send(mq, "hi", 3, 9) == 0 && mq_receive(mq, buf, 16, &prio) == 3 && prio == 9 && !strcmp(buf, "hi"));
    OK(mq_receive(mq, buf, 16, NULL) == -1 && errno == EAGAIN);
    OK(mq_unlink(name) == 0);
    return t_done();
}
