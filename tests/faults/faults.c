// Makes chosen file operations of a program fail, and records their order: LD_PRELOAD=faults.so (Linux, glibc).
//
//   FAULTS_ROOT   only files below this folder are meant
//   FAULTS_LOG    a file that receives a line "KIND NUMBER CALL PATH" per operation; KIND is write, read or map
//   FAULTS_FAIL   KIND:NUMBER:ERROR  the operation of that kind and number (from 1) fails with ENOSPC, EIO, EDQUOT or
//                 EINTR; SHORT moves half of the bytes; STOP halts the process before it, until SIGCONT. NUMBER+ : all from there on, as when a disk is full.
//                 A mapping that fails succeeds, and its pages cannot be read: the access raises SIGBUS.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum Kind { kWrite, kRead, kMap, kKinds };
static const char* const kKindNames[kKinds] = {"write", "read", "map"};

enum { kShort = -1, kStop = -2 };

static const struct {
  const char* name;
  int number;
} kErrors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},      {"EDQUOT", EDQUOT},
               {"EINTR", EINTR},   {"SHORT", kShort}, {"STOP", kStop}};

static const char* root;
static int log_descriptor = -1;
static enum Kind fail_kind = kKinds;
static long fail_number;
static bool fail_onwards;
static int fail_error;
static atomic_long counts[kKinds];

__attribute__((noreturn)) static void give_up(const char* why) {
  dprintf(STDERR_FILENO, "faults: %s\n", why);
  _exit(99);
}

static void read_failure(const char* text) {
  char kind[16], error[16], onwards = 0;
  if (sscanf(text, "%15[^:]:%ld+:%15s", kind, &fail_number, error) == 3) onwards = 1;
  else if (sscanf(text, "%15[^:]:%ld:%15s", kind, &fail_number, error) != 3)
    give_up("FAULTS_FAIL is KIND:NUMBER:ERROR");
  fail_onwards = onwards != 0;
  for (enum Kind k = kWrite; k < kKinds; ++k)
    if (strcmp(kind, kKindNames[k]) == 0) fail_kind = k;
  for (size_t i = 0; i < sizeof kErrors / sizeof *kErrors; ++i)
    if (strcmp(error, kErrors[i].name) == 0) fail_error = kErrors[i].number;
  if (fail_kind == kKinds || fail_error == 0) give_up("FAULTS_FAIL names no such kind or error");
}

__attribute__((constructor)) static void start(void) {
  root = getenv("FAULTS_ROOT");
  const char* log = getenv("FAULTS_LOG");
  if (log != NULL)
    log_descriptor = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const char* failure = getenv("FAULTS_FAIL");
  if (failure != NULL) read_failure(failure);
}

static bool meant(const char* path) {
  if (root == NULL) return false;
  const size_t length = strlen(root);
  return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/// What becomes of an operation on `path`: 0 it is done, an errno it fails, kShort it is done by half.
static int judge(enum Kind kind, const char* call, const char* path) {
  if (!meant(path)) return 0;
  const long number = atomic_fetch_add(&counts[kind], 1) + 1;
  if (log_descriptor >= 0) {
    char line[PATH_MAX + 64];
    const int size = snprintf(line, sizeof line, "%s %ld %s %s\n", kKindNames[kind], number, call, path);
    if (syscall(SYS_write, log_descriptor, line, (size_t)size) != size) give_up("FAULTS_LOG cannot be written");
  }
  const bool hit = kind == fail_kind && (number == fail_number || (fail_onwards && number > fail_number));
  if (hit && fail_error == kStop) raise(SIGSTOP);
  return hit && fail_error != kStop ? fail_error : 0;
}

static int judge_name(enum Kind kind, const char* call, const char* name) {
  char path[PATH_MAX];
  if (name[0] == '/' || getcwd(path, sizeof path) == NULL) return judge(kind, call, name);
  const size_t length = strlen(path);
  snprintf(path + length, sizeof path - length, "/%s", name);
  return judge(kind, call, path);
}

static int judge_descriptor(enum Kind kind, const char* call, int descriptor) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = '\0';
  return judge(kind, call, path);
}

/// A whole operation either fails or is done: there is no half of it.
static bool fails(int verdict) {
  if (verdict <= 0) return false;
  errno = verdict;
  return true;
}

#define REAL(name) (__extension__(__typeof__(&name)) real(#name))

static void* real(const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found == NULL) give_up("a function of the C library is missing");
  return found;
}

// ---------------------------------------------------------------- opening

static bool opens_to_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0; }

static bool open_fails(const char* name, int flags) {
  return fails(judge_name(opens_to_write(flags) ? kWrite : kRead, "open", name));
}

#define DEFINE_OPEN(function)                      \
  int function(const char* name, int flags, ...) { \
    va_list rest;                                  \
    va_start(rest, flags);                         \
    const mode_t mode = va_arg(rest, mode_t);      \
    va_end(rest);                                  \
    if (open_fails(name, flags)) return -1;        \
    return REAL(function)(name, flags, mode);      \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_FOPEN(function)                                               \
  FILE* function(const char* name, const char* mode) {                       \
    if (open_fails(name, mode[0] == 'r' ? O_RDONLY : O_WRONLY)) return NULL; \
    return REAL(function)(name, mode);                                       \
  }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

// ---------------------------------------------------------------- bytes

#define MOVE(kind, call, descriptor, size)                      \
  const int verdict = judge_descriptor(kind, call, descriptor); \
  if (fails(verdict)) return -1;                                \
  if (verdict == kShort && (size) > 1) (size) /= 2

ssize_t read(int descriptor, void* bytes, size_t size) {
  MOVE(kRead, "read", descriptor, size);
  return REAL(read)(descriptor, bytes, size);
}
ssize_t write(int descriptor, const void* bytes, size_t size) {
  MOVE(kWrite, "write", descriptor, size);
  return REAL(write)(descriptor, bytes, size);
}

#define DEFINE_POSITIONED(function, offset_type)                                    \
  ssize_t function(int descriptor, BUFFER bytes, size_t size, offset_type offset) { \
    MOVE(KIND, #function, descriptor, size);                                        \
    return REAL(function)(descriptor, bytes, size, offset);                         \
  }
#define BUFFER void*
#define KIND kRead
DEFINE_POSITIONED(pread, off_t)
DEFINE_POSITIONED(pread64, off64_t)
#undef BUFFER
#undef KIND
#define BUFFER const void*
#define KIND kWrite
DEFINE_POSITIONED(pwrite, off_t)
DEFINE_POSITIONED(pwrite64, off64_t)

ssize_t readv(int descriptor, const struct iovec* parts, int count) {
  MOVE(kRead, "readv", descriptor, count);
  return REAL(readv)(descriptor, parts, count);
}
ssize_t writev(int descriptor, const struct iovec* parts, int count) {
  MOVE(kWrite, "writev", descriptor, count);
  return REAL(writev)(descriptor, parts, count);
}

#define DEFINE_MMAP(function, offset_type)                                                                       \
  void* function(void* where, size_t size, int protection, int flags, int descriptor, offset_type offset) {      \
    const bool of_file = descriptor >= 0 && (flags & MAP_ANONYMOUS) == 0 && (protection & PROT_EXEC) == 0;       \
    if (!of_file || judge_descriptor(kMap, "mmap", descriptor) == 0)                                             \
      return REAL(function)(where, size, protection, flags, descriptor, offset);                                 \
    struct stat info;                                                                                            \
    if (fstat(descriptor, &info) != 0) give_up("a mapped file cannot be examined");                              \
    const long page = sysconf(_SC_PAGESIZE); /* behind the end of the file, where there is nothing to be read */ \
    return REAL(function)(where, size, protection, flags, descriptor, (info.st_size / page + 1) * page);         \
  }
DEFINE_MMAP(mmap, off_t)
DEFINE_MMAP(mmap64, off64_t)

// ---------------------------------------------------------------- files and folders

#define DEFINE_ON_DESCRIPTOR(function, parameters, ...)                    \
  int function parameters {                                                \
    if (fails(judge_descriptor(kWrite, #function, descriptor))) return -1; \
    return REAL(function)(__VA_ARGS__);                                    \
  }
DEFINE_ON_DESCRIPTOR(ftruncate, (int descriptor, off_t size), descriptor, size)
DEFINE_ON_DESCRIPTOR(ftruncate64, (int descriptor, off64_t size), descriptor, size)
DEFINE_ON_DESCRIPTOR(fsync, (int descriptor), descriptor)
DEFINE_ON_DESCRIPTOR(fdatasync, (int descriptor), descriptor)

#define DEFINE_FALLOCATE(function, offset_type)                              \
  int function(int descriptor, offset_type offset, offset_type size) {       \
    const int verdict = judge_descriptor(kWrite, "fallocate", descriptor);   \
    return verdict > 0 ? verdict : REAL(function)(descriptor, offset, size); \
  }
DEFINE_FALLOCATE(posix_fallocate, off_t)
DEFINE_FALLOCATE(posix_fallocate64, off64_t)

int mkdir(const char* name, mode_t mode) {
  if (fails(judge_name(kWrite, "mkdir", name))) return -1;
  return REAL(mkdir)(name, mode);
}
int symlink(const char* target, const char* name) {
  if (fails(judge_name(kWrite, "symlink", name))) return -1;
  return REAL(symlink)(target, name);
}
int rename(const char* from, const char* to) {
  if (fails(judge_name(kWrite, "rename", to))) return -1;
  return REAL(rename)(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (fails(judge_name(kWrite, "renameat2", to))) return -1;
  return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}
