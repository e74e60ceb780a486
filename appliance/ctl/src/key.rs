//! `key new|show`: the key that the gateway seals with, and the DNS record that belongs to it.
//!
//! RSA keys are made here, because ring makes none and signs with RSA only what most receivers verify: two random primes by
//! Miller and Rabin, and ring's own checks of the result when it is read back. It happens on the operator's machine, once, and
//! nobody measures how long it takes.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use num_bigint::BigUint;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;
use sekisho_core::authn::{Sealer, der};

use crate::arguments::{KeyAlgorithm, KeyArguments, KeyCommand};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output;
use crate::place::Place;

/// Bits of a prime: 2,048 together, which is what ring signs with and one DNS answer holds.
const PRIME_BITS: usize = 1024;
/// The public exponent of all RSA keys of DKIM that are seen in the wild.
const EXPONENT: u32 = 65_537;
/// Rounds of Miller and Rabin: an error of 4^-40 at most, whoever chose the candidates.
const ROUNDS: usize = 40;
/// Candidates that are divided by small primes first.
const SMALL_MAX: u32 = 2_000;

/// Runs one `key` command.
pub(crate) fn run(place: &Place, json: bool, command: &KeyCommand) -> Ran {
    match command {
        KeyCommand::New { algorithm, key } => new(place, json, (*algorithm, key)),
        KeyCommand::Show(key) => show(place, json, key),
    }
}

fn new(place: &Place, json: bool, (algorithm, key): (KeyAlgorithm, &KeyArguments)) -> Ran {
    let pem = match algorithm {
        KeyAlgorithm::Rsa => rsa(),
        KeyAlgorithm::Ed25519 => ed25519(),
    };
    let pem = pem.ok_or_else(|| Failure::new("key new", "the system gives no random numbers"))?;
    let file = file(place, key)?;
    let sealer = Sealer::from_pem(pem.as_bytes(), &key.domain, &key.selector);
    sealer.map_err(|why| Failure::new("key new", why))?;
    let wrong = |error: std::io::Error| Failure::new(file.display(), error);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(wrong)?;
    }
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(&file);
    let mut made = made.map_err(wrong)?;
    made.write_all(pem.as_bytes()).and_then(|()| made.sync_all()).map_err(wrong)?;
    output::words(format_args!("{}: a new key; put this into the DNS, then set", file.display()));
    output::words(format_args!(
        "[authentication.arc_seal] domain = \"{}\", selector = \"{}\", key = \"{}\"",
        key.domain, key.selector, key.file
    ));
    show(place, json, key)
}

fn show(place: &Place, json: bool, key: &KeyArguments) -> Ran {
    let file = file(place, key)?;
    let wrong = |why: String| Failure::new(file.display(), why);
    let pem = fs::read(&file).map_err(|error| wrong(error.to_string()))?;
    let sealer = Sealer::from_pem(&pem, &key.domain, &key.selector).map_err(wrong)?;
    let (name, value) = sealer.record();
    if json {
        output::json(&serde_json::json!({
            "name": name, "type": "TXT", "value": value, "algorithm": sealer.algorithm(),
            "file": file.display().to_string(),
        }));
    } else {
        // A string of a TXT record has at most 255 octets; readers put the strings together.
        let strings: Vec<String> = value
            .as_bytes()
            .chunks(250)
            .map(|part| format!("\"{}\"", String::from_utf8_lossy(part)))
            .collect();
        output::data(format_args!("{name}. 3600 IN TXT ({})", strings.join(" ")));
    }
    Ok(Outcome::Done)
}

/// The key's file: a plain name below `secrets/`.
fn file(place: &Place, key: &KeyArguments) -> Result<std::path::PathBuf, Failure> {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let name = &key.file;
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(Failure::new("key --file", format_args!("{name:?} is not the name of a file")));
    }
    for (what, text) in [("key --domain", &key.domain), ("key --selector", &key.selector)] {
        let label = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if text.is_empty() || !text.bytes().all(label) {
            return Err(Failure::new(what, format_args!("{text:?} is not a name of the DNS")));
        }
    }
    Ok(place.data.join("secrets").join(name))
}

fn ed25519() -> Option<String> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok()?;
    Some(pem("PRIVATE KEY", key.as_ref()))
}

/// A key of 2,048 bits: RSAPrivateKey of RFC 8017 appendix A.1.2.
fn rsa() -> Option<String> {
    let random = SystemRandom::new();
    let one = BigUint::from(1_u32);
    let exponent = BigUint::from(EXPONENT);
    loop {
        let (first, second) = (prime(&random)?, prime(&random)?);
        // Primes close together can be found from their product (FIPS 186-5 appendix A.1.3).
        let apart = if first > second { &first - &second } else { &second - &first };
        if apart.bits() <= (PRIME_BITS - 100) as u64 {
            continue;
        }
        let (p, q) = if first > second { (first, second) } else { (second, first) };
        let (p_1, q_1) = (&p - &one, &q - &one);
        let least = &p_1 * &q_1 / gcd(&p_1, &q_1);
        let inverses = exponent.modinv(&least).zip(q.modinv(&p));
        let Some((private, coefficient)) = inverses else { continue };
        let modulus = &p * &q;
        let numbers = [
            BigUint::from(0_u32),
            modulus,
            exponent,
            private.clone(),
            p.clone(),
            q.clone(),
            &private % &p_1,
            &private % &q_1,
            coefficient,
        ];
        let inner: Vec<u8> = numbers.iter().flat_map(integer).collect();
        return Some(pem("RSA PRIVATE KEY", &der(0x30, &inner)));
    }
}

/// A random prime whose two highest bits are set (so that two make a modulus of full length) and that the public exponent
/// fits.
fn prime(random: &SystemRandom) -> Option<BigUint> {
    let small: Vec<u32> = (3..SMALL_MAX)
        .step_by(2)
        .filter(|n| (3..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
        .collect();
    loop {
        let mut octets = [0_u8; PRIME_BITS / 8];
        random.fill(&mut octets).ok()?;
        let (first, last) = (octets.first_mut()?, 0xc0);
        *first |= last;
        *octets.last_mut()? |= 1;
        let candidate = BigUint::from_bytes_be(&octets);
        let divided = small.iter().any(|prime| &candidate % *prime == BigUint::ZERO);
        let fits = (&candidate - 1_u32) % EXPONENT != BigUint::ZERO;
        if !divided && fits && is_prime(&candidate, random)? {
            return Some(candidate);
        }
    }
}

/// Miller and Rabin with random bases; `None`: there are no random numbers.
fn is_prime(candidate: &BigUint, random: &SystemRandom) -> Option<bool> {
    let one = BigUint::from(1_u32);
    let before = candidate - &one;
    let twos = before.trailing_zeros()?;
    let odd = &before >> twos;
    'rounds: for _ in 0..ROUNDS {
        let mut octets = [0_u8; PRIME_BITS / 8];
        random.fill(&mut octets).ok()?;
        let base = BigUint::from_bytes_be(&octets) % (candidate - 3_u32) + 2_u32;
        let mut power = base.modpow(&odd, candidate);
        if power == one || power == before {
            continue;
        }
        for _ in 1..twos {
            power = power.modpow(&BigUint::from(2_u32), candidate);
            if power == before {
                continue 'rounds;
            }
        }
        return Some(false);
    }
    Some(true)
}

fn gcd(one: &BigUint, other: &BigUint) -> BigUint {
    let (mut one, mut other) = (one.clone(), other.clone());
    while other != BigUint::ZERO {
        (one, other) = (other.clone(), one % other);
    }
    one
}

/// INTEGER of DER: never negative, so a leading bit gets an octet before it.
fn integer(number: &BigUint) -> Vec<u8> {
    let mut octets = number.to_bytes_be();
    if octets.first().is_some_and(|first| first & 0x80 != 0) {
        octets.insert(0, 0);
    }
    der(0x02, &octets)
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
            for place in 0..4_usize {
                let index = (bits >> (18 - 6 * place)) & 63;
                let letter = LETTERS.get(index as usize).copied().unwrap_or(b'A');
                out.push(if place > group.len() { '=' } else { char::from(letter) });
            }
        }
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_ring_takes_and_have_a_record() {
        for (pem, algorithm, kind) in [
            (ed25519().unwrap(), "ed25519-sha256", "k=ed25519; p="),
            (rsa().unwrap(), "rsa-sha256", "k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"),
        ] {
            let sealer = Sealer::from_pem(pem.as_bytes(), "example.com", "s1").unwrap();
            assert_eq!(sealer.algorithm(), algorithm);
            let (name, value) = sealer.record();
            assert_eq!(name, "s1._domainkey.example.com");
            assert!(value.starts_with("v=DKIM1; ") && value.contains(kind), "{value}");
        }
        assert_ne!(ed25519(), ed25519());
    }

    #[test]
    fn a_key_is_written_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().unwrap();
        let place = Place::new(data.path(), None);
        let key = |file: &str| KeyArguments {
            domain: "example.com".into(),
            selector: "arc1".into(),
            file: file.into(),
        };
        let command = KeyCommand::New { algorithm: KeyAlgorithm::Ed25519, key: key("arc.pem") };
        assert_eq!(run(&place, true, &command), Ok(Outcome::Done));
        let file = data.path().join("secrets/arc.pem");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&file).unwrap();
        assert!(run(&place, true, &command).is_err(), "a key that is there stays");
        assert_eq!(fs::read(&file).unwrap(), before);
        assert_eq!(run(&place, true, &KeyCommand::Show(key("arc.pem"))), Ok(Outcome::Done));
        for wrong in ["../arc.pem", ".hidden", ""] {
            assert!(run(&place, true, &KeyCommand::Show(key(wrong))).is_err(), "{wrong}");
        }
    }
}
