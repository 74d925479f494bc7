use std::fs;
use std::path::Path;

/// Fails where `text` is not what the file says, and shows from where on.
pub fn compare(name: &str, text: &str) {
    const AROUND: usize = 3;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
    if std::env::var_os("LONGHAUL_UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, text).expect("written");
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if golden == text {
        return;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), text.lines().collect());
    let alike = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let shown = |lines: &[&str]| {
        let from = alike.saturating_sub(AROUND).min(lines.len());
        lines[from..lines.len().min(alike + 4 * AROUND)].join("\n")
    };
    panic!(
        "tests/golden/{name} differs from line {} on. It has:\n{}\n\nOn the wire was:\n{}\n\nIf that is right: \
         LONGHAUL_UPDATE_GOLDEN=1 cargo test --lib wire, and read the difference before you commit it",
        alike + 1,
        shown(&old),
        shown(&new)
    );
}
