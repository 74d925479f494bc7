//! The `longhaul` binary; everything is in the library's `cli`.
#![forbid(unsafe_code)]

/// musl's own has one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    longhaul::cli::main()
}
