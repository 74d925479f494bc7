use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Preloaded into the server, it adds seconds that a file tells: the first number to the clock of the wall, the second
/// to that of the boot. The monotonic one, which stands still while a machine is suspended, it leaves alone.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile long long *added;
__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("ADDED_SECONDS");
  int file = path ? open(path, O_RDONLY) : -1;
  if (file < 0) return;
  void *at = mmap(0, 16, PROT_READ, MAP_SHARED, file, 0);
  if (at != MAP_FAILED) added = at;
  close(file);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = syscall(SYS_clock_gettime, clock, now);
  if (!result && added && clock == CLOCK_REALTIME) now->tv_sec += added[0];
  if (!result && added && clock == CLOCK_BOOTTIME) now->tv_sec += added[1];
  return result;
}
"#;

/// The clocks of servers, which a test sets: the library, and the file that it reads.
pub struct Clocks {
    library: PathBuf,
    file: PathBuf,
    wall: i64,
    boot: i64,
}

impl Clocks {
    pub fn new(folder: &Path) -> Self {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, SOURCE).expect("a source");
        // rustc links with it too.
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.expect("cc runs").success());
        let clocks = Self { library, file: folder.join("added"), wall: 0, boot: 0 };
        fs::write(&clocks.file, [0; 16]).expect("a file");
        clocks
    }

    /// What a process must have in its environment to go by them.
    pub fn environment(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("ADDED_SECONDS", &self.file)]
            .map(|(name, path)| (name, path.to_str().expect("a path of text")))
    }

    /// As if the machine had been suspended so long, or as if so much time had gone by.
    pub fn pass(&mut self, seconds: i64) {
        self.wall += seconds;
        self.boot += seconds;
        self.write();
    }

    /// The wall clock is set, as an administrator does: to so many seconds since the epoch.
    pub fn set_wall(&mut self, to: i64) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        self.wall = to - i64::try_from(now.as_secs()).expect("a time");
        self.write();
    }

    /// In place: servers have mapped the file.
    fn write(&self) {
        let mut file = fs::OpenOptions::new().write(true).open(&self.file).expect("the file");
        let bytes = [self.wall.to_le_bytes(), self.boot.to_le_bytes()].concat();
        file.write_all(&bytes).expect("written");
    }
}
