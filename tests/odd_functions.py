"""A library in C of functions that TVM's runtime calls: well-behaved ones, and ones that do what their name says."""

import hashlib
import subprocess
from pathlib import Path

SOURCE = """
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
typedef struct { int32_t type; uint32_t padding; union { int64_t integer; void *pointer; } value; } Any;
static void *data(const Any *any) {  /* a DLTensor, or an object of the runtime's with one behind its header */
  return *(void **)((char *)any->value.pointer + (any->type == 7 ? 0 : 24));
}
static volatile int sink;
static void work(int rounds) { for (int i = 0; i < rounds; i++) sink = i; }
#define FUNCTION(name) int __tvm_ffi_##name(void *self, const Any *args, int32_t count, Any *result)
#define SPOIL(code) { static int calls; if (++calls > 3) { code } work(1000); return 0; }
FUNCTION(quick) { work(10000); return 0; }
FUNCTION(slow) { work(40000); return 0; }
FUNCTION(crash) { *(volatile int *)0 = 1; return 0; }
FUNCTION(crash_later) SPOIL(*(volatile int *)0 = 1;)
FUNCTION(hang) { for (;;) pause(); return 0; }
FUNCTION(killed) { kill(getpid(), SIGKILL); return 0; }
FUNCTION(leave) { fputs("I give up\\n", stderr); exit(3); }
FUNCTION(chatter) { puts("{\\"id\\": 1, \\"ok\\": {}}"); fflush(stdout); work(1000); return 0; }
FUNCTION(refuse) { return -1; }
FUNCTION(look) {  /* (float32 of 1000, int64 of 3, float16 of 3, bfloat16 of 3), aligned and harmless, or a crash */
  const float *floats = data(&args[0]);
  const int64_t *integers = data(&args[1]);
  const uint16_t *halves = data(&args[2]), *brains = data(&args[3]);
  for (int i = 0; i < count; i++) if ((uintptr_t)data(&args[i]) % 64) abort();
  for (int i = 0; i < 1000; i++) if (!isnormal(floats[i]) || fabsf(floats[i]) >= 1 || floats[i] < 1e-3) abort();
  for (int i = 0; i < 3; i++) if (integers[i] || halves[i] < 0x1c00 || halves[i] > 0x3c00 || brains[i] >> 7 < 100) abort();
  work(1000);
  return 0;
}
"""


def library(folder: Path, compiler: str = "gcc") -> tuple[Path, str]:
    """The library and its sha256."""
    path = folder / "functions.so"
    command = [compiler, "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=SOURCE, text=True, check=True)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()
