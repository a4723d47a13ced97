//! Old recordings removed, once, at start.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

/// Removes `.wav` files of the folder that were last written more than `max_age` before `now`. Returns how many.
/// Anything else in the folder stays.
pub fn remove_old_recordings(folder: &Path, max_age: Duration, now: SystemTime) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let old = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| {
        let modified =
            fs::metadata(path).ok().filter(fs::Metadata::is_file).and_then(|meta| meta.modified().ok());
        let age = modified.and_then(|modified| now.duration_since(modified).ok());
        path.extension().is_some_and(|extension| extension == "wav") && age.is_some_and(|age| age > max_age)
    });
    let removed = old.filter(|path| {
        fs::remove_file(path)
            .inspect_err(|error| warn!(file = %path.display(), %error, "old recording stays"))
            .is_ok()
    });
    let count = removed.count();
    if count > 0 {
        info!(count, "old recordings removed");
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::TempDir;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn old_recordings_go_and_everything_else_stays() {
        let folder = TempDir::new();
        for name in ["a.wav", "notes.txt"] {
            fs::write(folder.path().join(name), b"x").expect("written");
        }
        let in_eight_days = SystemTime::now() + 8 * DAY;
        assert_eq!(remove_old_recordings(folder.path(), 9 * DAY, in_eight_days), 0);
        assert_eq!(remove_old_recordings(folder.path(), 7 * DAY, in_eight_days), 1);
        assert!(!folder.path().join("a.wav").exists());
        assert!(folder.path().join("notes.txt").exists());
    }
}
