//! The `longhaul` binary; everything is in the library's `cli`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    longhaul::cli::main()
}
