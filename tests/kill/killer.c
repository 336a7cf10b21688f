// Loaded into the program under test (LD_PRELOAD): ends it with SIGKILL at one change of a file, counted, not timed.
//
//   KILL_ROOT  only files below this folder count
//   KILL_LOG   file that every change is appended to: what was done, a space, the path below the root
//   KILL_AT    "N WHAT PATTERN": the N-th WHAT of a path that matches PATTERN (as in a shell)
//   KILL_TORN  set: of that write, only the first half is done
//
// Renames are not seen (they are made without libc); the flush of the folder that follows each one is.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static const char *root, *pattern;
static char what[32];
static long at, seen;
static int is_torn, log_file = -1;

__attribute__((constructor)) static void begin(void) {
    const char *order = getenv("KILL_AT"), *log = getenv("KILL_LOG");
    root = getenv("KILL_ROOT");
    is_torn = getenv("KILL_TORN") != NULL;
    int end = 0;
    if (order && sscanf(order, "%ld %31s %n", &at, what, &end) == 2) pattern = order + end;
    if (log) log_file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

// Whether this change of `path` is the one to end with.
static int is_last(const char *done, const char *path) {
    size_t length = root ? strlen(root) : 0;
    if (!length || strncmp(path, root, length) || path[length] != '/') return 0;
    path += length + 1;
    if (log_file >= 0) {
        char line[PATH_MAX + 32];
        int size = snprintf(line, sizeof line, "%s %s\n", done, path);
        syscall(SYS_write, log_file, line, size);
    }
    if (!pattern || strcmp(done, what) || fnmatch(pattern, path, FNM_PATHNAME)) return 0;
    return __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) == at;
}

static int is_last_of(const char *done, int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0 || path[0] != '/') return 0;
    path[length] = 0;
    return is_last(done, path);
}

static void end_here(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *bytes, size_t count) {
    if (!is_last_of("write", file)) return syscall(SYS_write, file, bytes, count);
    syscall(SYS_write, file, bytes, is_torn ? count / 2 : count);
    end_here();
    return 0;
}

static ssize_t write_at(int file, const void *bytes, size_t count, off64_t offset) {
    if (!is_last_of("write", file)) return syscall(SYS_pwrite64, file, bytes, count, offset);
    syscall(SYS_pwrite64, file, bytes, is_torn ? count / 2 : count, offset);
    end_here();
    return 0;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) { return write_at(file, bytes, count, offset); }
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) { return write_at(file, bytes, count, offset); }

#define AFTER(name, arguments, values, test) \
    int name arguments {                           \
        int result = REAL(name) values;            \
        if (test) end_here();                      \
        return result;                             \
    }

AFTER(fsync, (int file), (file), is_last_of("sync", file))
AFTER(fdatasync, (int file), (file), is_last_of("sync", file))
AFTER(ftruncate, (int file, off_t length), (file, length), is_last_of("cut", file))
AFTER(ftruncate64, (int file, off64_t length), (file, length), is_last_of("cut", file))
AFTER(unlink, (const char *path), (path), is_last("remove", path))
