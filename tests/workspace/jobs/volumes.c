/* Files under /Volumes as a task meets them: no locks, no links, no appending (EOPNOTSUPP), as cloud storage has none. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below(const char *path) { return strncmp(path, "/Volumes/", 9) == 0; }

static int on_volume(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  return below(path);
}

static int named(int dir, const char *path) {
  if (path[0] == '/') return below(path);
  if (dir != AT_FDCWD) return on_volume(dir);
  char here[4096];
  if (getcwd(here, sizeof here - 1) == NULL) return 0;
  strcat(here, "/");
  return below(here);
}

static int refuse(void) {
  errno = EOPNOTSUPP;
  return -1;
}

int flock(int fd, int how) { return on_volume(fd) ? refuse() : REAL(flock)(fd, how); }

int lockf(int fd, int how, off_t size) { return on_volume(fd) ? refuse() : REAL(lockf)(fd, how, size); }

#define LOCKS(what) ((what) == F_SETLK || (what) == F_SETLKW || (what) == F_OFD_SETLK || (what) == F_OFD_SETLKW)

int fcntl(int fd, int what, ...) {
  va_list rest;
  va_start(rest, what);
  void *given = va_arg(rest, void *);
  va_end(rest);
  return LOCKS(what) && on_volume(fd) ? refuse() : REAL(fcntl)(fd, what, given);
}

int fcntl64(int fd, int what, ...) {
  va_list rest;
  va_start(rest, what);
  void *given = va_arg(rest, void *);
  va_end(rest);
  return LOCKS(what) && on_volume(fd) ? refuse() : REAL(fcntl64)(fd, what, given);
}

int link(const char *from, const char *to) {
  return named(AT_FDCWD, to) || named(AT_FDCWD, from) ? refuse() : REAL(link)(from, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int how) {
  return named(to_dir, to) || named(from_dir, from) ? refuse() : REAL(linkat)(from_dir, from, to_dir, to, how);
}

int symlink(const char *target, const char *path) {
  return named(AT_FDCWD, path) ? refuse() : REAL(symlink)(target, path);
}

int symlinkat(const char *target, int dir, const char *path) {
  return named(dir, path) ? refuse() : REAL(symlinkat)(target, dir, path);
}

#define OPEN(name)                                                                  \
  int name(const char *path, int how, ...) {                                        \
    va_list rest;                                                                   \
    va_start(rest, how);                                                            \
    mode_t mode = how & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;           \
    va_end(rest);                                                                   \
    return how & O_APPEND && named(AT_FDCWD, path) ? refuse() : REAL(name)(path, how, mode); \
  }

OPEN(open)
OPEN(open64)
