//! The control: appends of 4 KiB, each made durable before the next one.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_millis(500);

pub fn p50_ms(folder: &Path) -> Result<f64, crate::Error> {
    let path = folder.join("control");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let page = [0x5a; 4096];
    let (start, mut taken) = (Instant::now(), Vec::new());
    while start.elapsed() < SPAN {
        let began = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        taken.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    taken.sort_unstable();
    Ok(taken[taken.len() / 2].as_secs_f64() * 1e3)
}
