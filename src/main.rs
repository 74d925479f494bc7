//! The `longhaul` binary; everything is in the library's `cli`.
#![forbid(unsafe_code)]

/// What one thread allocates of a task another often frees, which the allocators of C libraries are slow at, musl's most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    longhaul::cli::main()
}
