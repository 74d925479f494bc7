use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The folder of all guests' components, test guests included; built once.
fn guests_folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(build);
    &FOLDER
}

/// One component by its file's name.
pub fn guest(name: &str) -> PathBuf {
    let path = guests_folder().join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is not among the guests", path.display());
    path
}

fn build() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools-wasm");
    // Adds the target where it is missing, and puts manifests next to the components.
    let built = Command::new(env!("CARGO_BIN_EXE_longhaul")).args(["tool", "build"]).arg(&workspace).output();
    let built = built.expect("longhaul runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let target = match std::env::var_os("LONGHAUL_GUEST_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => workspace.join("target"),
    };
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&workspace).args(["build", "--release", "--target", "wasm32-wasip2", "--workspace"]);
    cargo.arg("--target-dir").arg(&target);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        // The outer cargo's settings are not the guests'.
        if name.starts_with("CARGO_") && name != "CARGO_HOME"
            || name.starts_with("RUSTFLAGS")
            || name == "CARGO"
        {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("wasm32-wasip2/release")
}
