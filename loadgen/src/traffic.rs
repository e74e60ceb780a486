//! A mix as files: so that other tools can send the same mails, and a name server has the keys that
//! the signed ones verify against.

use std::fs;
use std::io;
use std::path::Path;

use crate::mix::Mix;
use crate::random::Random;

/// Writes `mails` draws as `00000001.eml` and so on into `dir`, which is made if it is not there.
/// Their envelope ids are those of a run of `send` with one session: seed, mark, number.
///
/// # Errors
/// Those of the file system; `AlreadyExists` if the directory has such a file: the draws of two
/// runs are not mixed.
pub fn write(mix: &Mix, seed: u64, mails: u64, dir: &Path) -> io::Result<u64> {
    fs::create_dir_all(dir)?;
    let mut random = Random::new(seed);
    let mut bytes = 0;
    for number in 0..mails {
        let mail = mix.draw(&mut random, &format!("{seed:x}-{number}"));
        let path = dir.join(format!("{:08}.eml", number + 1));
        let mut file = fs::File::create_new(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        io::Write::write_all(&mut file, &mail)?;
        bytes += mail.len() as u64;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::mix::Mix;
    use crate::store::envelope_id;

    #[test]
    fn the_files_of_a_seed_are_the_same_again_and_a_second_run_overwrites_none() {
        let dir = tempfile::tempdir().unwrap();
        let mix = Mix::named("trap", 5).unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let bytes = write(&mix, 5, 30, &one).unwrap();
        assert_eq!(write(&mix, 5, 30, &two).unwrap(), bytes);
        let mut total = 0;
        for number in 1..=30 {
            let name = format!("{number:08}.eml");
            let mail = std::fs::read(one.join(&name)).unwrap();
            assert_eq!(mail, std::fs::read(two.join(&name)).unwrap());
            assert_eq!(envelope_id(&mail), Some(format!("5-{}", number - 1)));
            total += mail.len() as u64;
        }
        assert_eq!(total, bytes);
        let error = write(&mix, 6, 1, &one).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("00000001.eml"), "{error}");
    }
}
