//! Files beside the configuration that the operator wrote: the key of seals, texts of notices. Read at the start and by a
//! reload, never by a shard; `sekisho config check` reads them in the same way.

#![expect(clippy::disallowed_methods, reason = "before the shards run, or beside them")]

use std::path::Path;
use std::sync::Arc;

use super::start::beside;
use crate::authn::Sealer;
use crate::config::Config;
use crate::notice::{Templates, Tongue};

/// Files with texts of notices, in each language.
const TEMPLATES_MAX: usize = 200;

/// Who seals what we change, if that is wanted. `data`: the data directory.
///
/// # Errors
/// The key cannot be read; names the file.
pub fn sealer(data: &Path, config: &Config) -> Result<Option<Arc<Sealer>>, String> {
    let Some(seal) = &config.authentication.arc_seal else { return Ok(None) };
    let file = data.join("secrets").join(&*seal.key);
    let read = std::fs::read(&file).map_err(|error| error.to_string());
    let sealer = read.and_then(|pem| Sealer::from_pem(&pem, &seal.domain, &seal.selector));
    sealer
        .map(|sealer| Some(Arc::new(sealer)))
        .map_err(|why| format!("authentication.arc_seal.key: {}: {why}", file.display()))
}

/// Texts of notices: ours, and before them what is in `notices/{ja,en}` beside the configuration file `file`.
///
/// # Errors
/// One cannot be read or is wrong; names it.
pub fn templates(file: &Path) -> Result<Templates, String> {
    let mut own = Vec::new();
    for tongue in Tongue::ALL {
        let directory = beside(file, &Path::new("notices").join(tongue.key()));
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).take(TEMPLATES_MAX) {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if path.extension().is_some_and(|ending| ending == "txt") {
                let text = std::fs::read_to_string(&path);
                let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
                own.push((tongue, name.to_owned(), text));
            }
        }
    }
    Templates::new(own.iter().map(|(tongue, name, text)| (*tongue, name.as_str(), text.as_str())))
}
