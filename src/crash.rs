//! Places where a test makes the process die as `kill -9` does. In builds with debug assertions alone: a
//! release build has none. `LONGHAUL_CRASH=NAME:N` dies at the N-th passing of the place NAME.

/// Die here if a test wants it.
#[macro_export]
#[doc(hidden)]
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::crash::pass($name);
    };
}

#[cfg(debug_assertions)]
pub fn pass(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        name: String,
        left: AtomicU64,
    }
    static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
        let plan = std::env::var("LONGHAUL_CRASH").ok()?;
        let (name, passings) = plan.split_once(':')?;
        Some(Plan { name: name.to_owned(), left: AtomicU64::new(passings.parse().ok()?) })
    });
    if let Some(plan) = &*PLAN
        && plan.name == name
        && plan.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        // Not `abort`: nothing may run after this, and no handler may see it.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
