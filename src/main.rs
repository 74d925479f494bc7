//! The `longhaul` binary; everything is in the library's `cli`.
#![forbid(unsafe_code)]

/// A task's work goes from thread to thread, which the system's is slow at, and musl's has one lock for all threads.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    longhaul::cli::main()
}
