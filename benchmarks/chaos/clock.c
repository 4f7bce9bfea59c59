/* Another time of day for Python code; CHAOS_CLOCK names a file with the seconds to add.

   Comes in front of libc by LD_PRELOAD. Only calls out of the interpreter are answered so: Ray's
   C++ waits in the kernel until times of day that it computes itself, and the kernel's clock is
   the real one, so it would wait for an hour where a real jump would not make it wait. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int out_of_python(void *caller) {
  Dl_info found;
  if (!dladdr(caller, &found) || !found.dli_fname) return 0;
  const char *slash = strrchr(found.dli_fname, '/');
  const char *name = slash ? slash + 1 : found.dli_fname;
  return !strncmp(name, "python", 6) || !strncmp(name, "libpython", 9);
}

static long offset_s(void) {
  char text[32] = "0";
  const char *path = getenv("CHAOS_CLOCK");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (file) {
    if (!fgets(text, sizeof text, file)) text[0] = 0;
    fclose(file);
  }
  return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && clock == CLOCK_REALTIME && out_of_python(__builtin_return_address(0)))
    now->tv_sec += offset_s();
  return failed;
}
