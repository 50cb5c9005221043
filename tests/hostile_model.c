/* A model of native code that tries what a model must not do; each attempt gives 0 or an errno. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <unistd.h>

static int told(long result) { return result < 0 ? errno : 0; }

static int opened(const char *path, int flags) {
    int descriptor = open(path, flags | O_CLOEXEC, 0600);
    if (descriptor >= 0) close(descriptor);
    return told(descriptor);
}

static int of_process(pid_t pid, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return opened(path, O_RDONLY);
}

/* A message with an address of its own, from one end of a pair. */
static int datagram(const char *path) {
    int ends[2];
    struct sockaddr_un address = {AF_UNIX};
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) < 0) return -1;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int result = told(sendto(ends[0], "out", 3, 0, (void *)&address, sizeof address));
    close(ends[0]), close(ends[1]);
    return result;
}

/* A file that is in nobody's folder and open to nobody, until somebody receives it. */
static int descriptor_in_a_socket(void) {
    int ends[2];
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec content = {"x", 1};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) return -1;
    message.msg_control = space, message.msg_controllen = sizeof space;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
    int result = told(sendmsg(ends[0], &message, 0));
    close(ends[0]), close(ends[1]);
    return result;
}

/* Attributes of a file, which a descriptor for reading is enough to change. */
static int flags_of(const char *path) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC), flags = FS_NOATIME_FL;
    if (descriptor < 0) return -1;
    int result = told(ioctl(descriptor, FS_IOC_SETFLAGS, &flags));
    close(descriptor);
    return result;
}
static int lease_of(const char *path) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    int result = told(fcntl(descriptor, F_SETLEASE, F_RDLCK));
    close(descriptor);
    return result;
}

/* A file on the disk that was opened for writing before the model was there. */
static int open_for_writing(void) {
    for (int descriptor = 3; descriptor < 1024; descriptor++) {
        char path[64], name[256] = {0};
        struct stat about;
        int flags = fcntl(descriptor, F_GETFL);
        if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || flags & O_PATH) continue;
        if (fstat(descriptor, &about) < 0 || !S_ISREG(about.st_mode)) continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
        /* In memory, of one page and no session but this. */
        if (readlink(path, name, sizeof name - 1) > 0 && !strncmp(name, "/memfd:", 7)) continue;
        return 0;
    }
    return EBADF;
}

/* Files of 16 MiB that nothing but a mapping keeps. */
static int keep_by_mappings(int count) {
    for (int index = 0; index < count; index++) {
        char path[4096];
        /* A name that clears a terminal, and is no text. */
        snprintf(path, sizeof path, "%s/kept\033[2J\377-%d", getenv("TMPDIR"), index);
        int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (descriptor < 0 || posix_fallocate(descriptor, 0, 16 << 20)) return -1;
        void *place = mmap(NULL, 4096, PROT_READ, MAP_SHARED, descriptor, 0);
        if (place == MAP_FAILED) return -1;
        close(descriptor), unlink(path);
    }
    sleep(60);
    return 0;
}

/* A folder that its owner can write to, and cannot list. */
static int close_a_folder(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/closed", getenv("TMPDIR"));
    if (mkdir(path, 0300) < 0) return errno;
    strcat(path, "/hidden");
    int result = opened(path, O_WRONLY | O_CREAT);
    sleep(60);
    return result;
}

/* Folders in each other, beyond the longest path that there is. */
static int nest(int depth) {
    int folder = open(getenv("TMPDIR"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (; depth > 0; depth--) {
        if (mkdirat(folder, "folder", 0700) < 0) return errno;
        int inner = openat(folder, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (inner < 0) return errno;
        close(folder);
        folder = inner;
    }
    close(folder);
    return 0;
}

/* Let whoever closes the client's connection last wait until the client has read all of it. */
static int linger(void) {
    static char content[1 << 16];
    struct linger wanted = {1, 3600};
    for (int descriptor = 3; descriptor < 64; descriptor++) {
        struct sockaddr_in address;
        socklen_t size = sizeof address;
        if (getpeername(descriptor, (void *)&address, &size) < 0) continue;
        if (address.sin_family != AF_INET) continue;
        if (setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &wanted, sizeof wanted) < 0) return errno;
        while (send(descriptor, content, sizeof content, MSG_DONTWAIT) > 0) continue;
        abort();
    }
    return -1;
}

#if defined(__x86_64__)
/* fork by the numbers of i386, and by those of x32. */
static int fork_of_i386(void) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(2L) : "r8", "r9", "r10", "r11", "memory");
    if (result == 0) _exit(0);
    return result < 0 ? (int)-result : 0;
}
static int fork_of_x32(void) {
    long result = syscall(0x40000000L + 57);
    if (result == 0) _exit(0);
    return told(result);
}
#else
static int fork_of_i386(void) { return EPERM; }
static int fork_of_x32(void) { return EPERM; }
#endif

/* What is tried with a path, a process or nothing. */
int attempt(const char *what, const char *argument) {
    pid_t parent = getppid();
    errno = 0;
    if (!strcmp(what, "read")) return opened(argument, O_RDONLY);
    if (!strcmp(what, "list")) return opened(argument, O_RDONLY | O_DIRECTORY);
    if (!strcmp(what, "write")) return opened(argument, O_WRONLY);
    if (!strcmp(what, "create")) return opened(argument, O_WRONLY | O_CREAT);
    if (!strcmp(what, "truncate")) return told(truncate(argument, 0));
    if (!strcmp(what, "unlink")) return told(unlink(argument));
    if (!strcmp(what, "rename")) return told(rename(argument, "stolen"));
    if (!strcmp(what, "link")) {
        char place[4096];
        snprintf(place, sizeof place, "%s/linked", getenv("TMPDIR"));
        return told(link(argument, place));
    }
    if (!strcmp(what, "chmod")) return told(chmod(argument, 0777));
    if (!strcmp(what, "utime")) return told(utimensat(AT_FDCWD, argument, NULL, 0));
    if (!strcmp(what, "environ of parent")) return of_process(parent, "environ");
    if (!strcmp(what, "cmdline of parent")) return of_process(parent, "cmdline");
    if (!strcmp(what, "memory of parent")) return of_process(parent, "mem");
    if (!strcmp(what, "kill parent")) return told(kill(parent, SIGKILL));
    if (!strcmp(what, "kill all")) return told(kill(-1, SIGCONT));
    if (!strcmp(what, "tkill parent")) return told(syscall(SYS_tkill, parent, SIGKILL));
    if (!strcmp(what, "tgkill parent")) return told(syscall(SYS_tgkill, parent, parent, SIGKILL));
    if (!strcmp(what, "queue to parent")) {
        siginfo_t about = {0};
        about.si_code = -1;
        return told(syscall(SYS_rt_sigqueueinfo, parent, SIGKILL, &about));
    }
    if (!strcmp(what, "limit parent")) {
        struct rlimit limit = {0, 0};
        return told(prlimit(parent, RLIMIT_CPU, &limit, NULL));
    }
    if (!strcmp(what, "renice parent")) return told(setpriority(PRIO_PROCESS, parent, 19));
    if (!strcmp(what, "idle parent")) {
        struct sched_param none = {0};
        return told(sched_setscheduler(parent, SCHED_IDLE, &none));
    }
    if (!strcmp(what, "outlive parent")) return told(prctl(PR_SET_PDEATHSIG, 0));
    if (!strcmp(what, "own a descriptor")) return told(fcntl(0, F_SETOWN, parent));
    if (!strcmp(what, "trace parent")) return told(ptrace(PTRACE_ATTACH, parent, NULL, NULL));
    if (!strcmp(what, "look into parent")) {
        char byte;
        struct iovec local = {&byte, 1}, remote = {(void *)attempt, 1};
        return told(process_vm_readv(parent, &local, 1, &remote, 1, 0));
    }
    if (!strcmp(what, "handle of parent")) return told(syscall(SYS_pidfd_open, parent, 0));
    if (!strcmp(what, "tcp")) return told(socket(AF_INET, SOCK_STREAM, 0));
    if (!strcmp(what, "udp")) return told(socket(AF_INET6, SOCK_DGRAM, 0));
    if (!strcmp(what, "unix")) return told(socket(AF_UNIX, SOCK_STREAM, 0));
    if (!strcmp(what, "netlink")) return told(socket(AF_NETLINK, SOCK_RAW, 0));
    if (!strcmp(what, "pair of sockets")) {
        int ends[2];
        int result = told(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        if (!result) close(ends[0]), close(ends[1]);
        return result;
    }
    if (!strcmp(what, "open for writing")) return open_for_writing();
    if (!strcmp(what, "datagram")) return datagram(argument);
    if (!strcmp(what, "descriptor in a socket")) return descriptor_in_a_socket();
    if (!strcmp(what, "flags")) return flags_of(argument);
    if (!strcmp(what, "lease")) return lease_of(argument);
    if (!strcmp(what, "keep by mappings")) return keep_by_mappings(atoi(argument));
    if (!strcmp(what, "close a folder")) return close_a_folder();
    if (!strcmp(what, "nest")) return nest(atoi(argument));
    if (!strcmp(what, "linger")) return linger();
    if (!strcmp(what, "fork")) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        return told(child);
    }
    if (!strcmp(what, "clone")) {
        long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child == 0) _exit(0);
        return told(child);
    }
    if (!strcmp(what, "clone3")) return told(syscall(SYS_clone3, NULL, 0));
    if (!strcmp(what, "fork of i386")) return fork_of_i386();
    if (!strcmp(what, "fork of x32")) return fork_of_x32();
    if (!strcmp(what, "exec")) {
        char *words[] = {"true", NULL};
        return told(execv("/bin/true", words));
    }
    if (!strcmp(what, "mount")) return told(mount("none", "/tmp", "tmpfs", 0, ""));
    if (!strcmp(what, "namespace")) return told(unshare(CLONE_NEWUSER));
    if (!strcmp(what, "root")) return told(chroot("/tmp"));
    if (!strcmp(what, "bpf")) return told(syscall(SYS_bpf, 0, NULL, 0));
    if (!strcmp(what, "keys")) return told(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    if (!strcmp(what, "io_uring")) return told(syscall(SYS_io_uring_setup, 1, NULL));
    if (!strcmp(what, "userfaultfd")) return told(syscall(SYS_userfaultfd, 0));
    if (!strcmp(what, "perf")) return told(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    if (!strcmp(what, "memfd")) return told(syscall(SYS_memfd_create, "x", 0));
    if (!strcmp(what, "shared memory")) return told(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
    if (!strcmp(what, "semaphores of others")) return told(semctl(0, 0, IPC_RMID));
    if (!strcmp(what, "messages of others")) return told(msgctl(0, IPC_RMID, NULL));
    if (!strcmp(what, "reboot")) return told(syscall(SYS_reboot, 0, 0, 0, NULL));
    if (!strcmp(what, "unknown call")) return told(syscall(1000));
    if (!strcmp(what, "regain")) return told(setuid(0)) ? EPERM : 0;
    if (!strcmp(what, "allocate")) {
        size_t size = strtoull(argument, NULL, 10);
        char *memory = malloc(size);
        if (memory == NULL) return ENOMEM;
        memset(memory, 1, size);
        return 0;
    }
    if (!strcmp(what, "allocate shared")) {
        size_t size = strtoull(argument, NULL, 10);
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return errno;
        memset(memory, 1, size);
        sleep(60);
        return 0;
    }
    if (!strcmp(what, "core")) abort();
    return -1;
}
