//! Test vectors that others made; they are not copied into the repository.

use std::path::PathBuf;

/// The folder of test vectors, when it is on this machine.
pub fn vectors(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TOLLGATE_VECTORS")
        .map_or_else(|| PathBuf::from("../shared/vectors"), PathBuf::from);
    let folder = root.join(name);
    if !folder.is_dir() {
        eprintln!(
            "skipped: no {name} in {} (set TOLLGATE_VECTORS)",
            root.display()
        );
        return None;
    }
    Some(folder)
}
