//! What the engine asks of the C library, answered otherwise by order: the wall clock, and the look-up of host names.
//!
//! A library of a few lines in front of the C library (`LD_PRELOAD`) reads its orders from a file that is
//! mapped, so that a clock jumps under a running engine. The monotonic clock goes as always.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use tempfile::TempDir;

use crate::gateway::Launch;

/// Orders: two numbers of eight octets, seconds that the wall clock is ahead and whether names are unknown.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long none[2];
static volatile long *orders = none;

__attribute__((constructor)) static void begin(void) {
  int file = open(ORDERS, O_RDONLY | O_CLOEXEC);
  if (file < 0) _exit(97);
  void *map = mmap(0, 16, PROT_READ, MAP_SHARED, file, 0);
  if (map == MAP_FAILED) _exit(98);
  orders = map;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  long result = syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += orders[0];
  return (int)result;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
  int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
      (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
  if (orders[1]) return EAI_AGAIN;
  return next(host, service, hints, out);
}
"#;

/// The library and its orders; gone when dropped.
#[derive(Debug)]
pub struct Preload {
    dir: TempDir,
    orders: File,
}

impl Preload {
    /// Compiles it. `None`, and said so, without a C compiler.
    ///
    /// # Panics
    /// It does not compile.
    #[must_use]
    pub fn new(what: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory for the library");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("orders"), [0; 16]).expect("a file of orders");
        fs::write(path("preload.c"), SOURCE).expect("a source");
        let compiled = Command::new("gcc")
            .args(["-O2", "-shared", "-fPIC"])
            .arg(format!("-DORDERS=\"{}\"", path("orders").display()))
            .arg("-o")
            .arg(path("preload.so"))
            .arg(path("preload.c"))
            .arg("-ldl")
            .output();
        let Ok(compiled) = compiled else {
            crate::left_out(what, "there is no gcc");
            return None;
        };
        let words = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "the library does not compile: {words}");
        let orders = File::options().write(true).open(path("orders")).expect("a file of orders");
        Some(Self { dir, orders })
    }

    /// What an engine is started with to be under these orders.
    #[must_use]
    pub fn launch(&self) -> Launch {
        let library: OsString = self.dir.path().join("preload.so").into();
        Launch { environment: vec![("LD_PRELOAD".into(), library)], ..Launch::default() }
    }

    /// From now on the wall clock is so far ahead of (or behind) the real one.
    ///
    /// # Panics
    /// The order cannot be written.
    pub fn clock_ahead(&self, seconds: i64) {
        self.orders.write_all_at(&seconds.to_ne_bytes(), 0).expect("an order");
    }

    /// From now on the system's resolver knows no name, or works again.
    ///
    /// # Panics
    /// The order cannot be written.
    pub fn names_unknown(&self, unknown: bool) {
        self.orders.write_all_at(&i64::from(unknown).to_ne_bytes(), 8).expect("an order");
    }
}
