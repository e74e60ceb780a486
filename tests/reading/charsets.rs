//! Every charset of the corpus: a word of each mail, in UTF-8 by `iconv`, is found by a rule; where it is not, the mail says that
//! its charset is unknown.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use sekisho_core::classify::Reading;
use sekisho_core::message::{View, ViewLimits, normalise};
use sekisho_core::scan::patterns::{BuildReport, PatternSource, Patterns, SourceFormat, build};
use sekisho_core::scan::{ScanTables, examine};
use sekisho_tests::corpus;

/// Charsets that the bar does not ask for: EBCDIC, DOS and a few more that no mail client writes.
/// They are decoded or reported.
const REST: &[&str] = &[
    "cp037",
    "cp1026",
    "cp273",
    "cp424",
    "cp437",
    "cp500",
    "cp737",
    "cp855",
    "cp856",
    "cp857",
    "cp860",
    "cp862",
    "cp863",
    "cp865",
    "cp869",
    "cp875",
    "iso2022_kr",
    "johab",
    "mac_greek",
    "mac_turkish",
];

/// One mail with a word that must be found in it.
struct Case {
    name: String,
    raw: Vec<u8>,
    charset: String,
    word: Option<String>,
}

/// What `iconv` calls a charset that mailers spell as they like.
fn iconv_name(label: &str) -> String {
    let label = label.to_ascii_lowercase().replace('_', "-");
    let name = match label.as_str() {
        "" | "us-ascii" | "ascii" => "UTF-8",
        "iso2022-jp" | "iso-2022-jp" | "iso2022-jp-1" | "iso2022-jp-2" | "iso2022-jp-ext" => {
            "ISO-2022-JP-2"
        }
        "iso2022-jp-3" | "iso2022-jp-2004" => "ISO-2022-JP-3",
        "euc-jis-2004" | "euc-jisx0213" => "EUC-JISX0213",
        "shift-jis-2004" | "shift-jisx0213" => "SHIFT_JISX0213",
        "shift-jis" | "cp932" => "CP932",
        "mac-cyrillic" => "MAC-CYRILLIC",
        "big5hkscs" => "BIG5-HKSCS",
        "ks-c-5601-1987" | "cp949" => "UHC",
        other => match other.strip_prefix("iso8859-") {
            Some(part) => return format!("ISO-8859-{part}"),
            None => return other.to_ascii_uppercase(),
        },
    };
    name.to_owned()
}

/// `octets` in UTF-8; none where `iconv` does not know the charset or the octets are not in it.
fn iconv(octets: &[u8], label: &str) -> Option<String> {
    let mut child = Command::new("iconv")
        .args(["-f", &iconv_name(label), "-t", "UTF-8"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("iconv, which comes with the C library");
    // What Python's codec shifts to, and the C library under another name: JIS X 0213:2004, whose first plane is that of 2000.
    let octets = replace(octets, b"\x1b$(Q", b"\x1b$(O");
    let mut input = child.stdin.take().expect("its input");
    // It may end before it read all: then the status says so.
    let _ = input.write_all(&octets);
    drop(input);
    let output = child.wait_with_output().expect("its answer");
    output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
}

fn replace(octets: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((first, after)) = rest.split_first() {
        if rest.starts_with(from) {
            out.extend_from_slice(to);
            rest = rest.get(from.len()..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// The longest word that is not ASCII, else the longest: of letters alone, in its normal form, at most 20 characters.
fn word_of(text: &str) -> Option<String> {
    let mut plain = String::new();
    normalise(text, &mut plain);
    let text = plain;
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 4);
    let best = words.max_by_key(|word| (!word.is_ascii(), word.chars().count()))?;
    Some(best.chars().take(20).collect())
}

fn case(name: String, raw: Vec<u8>) -> Case {
    let view = View::build(&raw, &ViewLimits::worker());
    let part = view.parts.iter().find(|part| &*part.content_type == "text/plain");
    let charset = part.map(|part| part.charset.to_string()).unwrap_or_default();
    let text = part.and_then(|part| iconv(&part.decoded, &charset));
    let word = text.as_deref().and_then(word_of);
    Case { name, charset, word, raw }
}

fn rules(cases: &[Case]) -> Patterns {
    let mut text = String::new();
    for (index, case) in cases.iter().enumerate() {
        if let Some(word) = &case.word {
            text.push_str(&format!(
                "[[rule]]\nname = \"WORD_{index}\"\nfield = \"normalised\"\npattern = '{word}'\npoints = 0.1\n"
            ));
        }
    }
    let format = SourceFormat::of_path("words.toml").expect("rules of our own");
    let source = PatternSource { path: "words.toml".into(), octets: text.into_bytes(), format };
    let mut report = BuildReport::default();
    let built = build(&[source], &mut report).expect("the rules build");
    let written = cases.iter().filter(|case| case.word.is_some()).count();
    assert_eq!(report.taken(), written, "every rule is taken");
    Patterns::open(&built.0).expect("the rules open")
}

#[test]
fn a_word_of_each_mail_is_found_whatever_its_charset() {
    let Some(folder) = corpus::folder("japanese") else { return };
    let cases: Vec<Case> = corpus::files(&folder)
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "eml"))
        .map(|path| {
            let name = path.strip_prefix(&folder).expect("a file of the folder");
            case(name.to_string_lossy().into_owned(), fs::read(path).expect("a mail"))
        })
        .collect();
    let patterns = rules(&cases);
    let mut scratch = patterns.scratch().expect("room to scan in");
    let tables = ScanTables {
        patterns: Some(&patterns),
        hash: None,
        url_host: None,
        reading: Reading::Nothing,
        content: &[],
        yara: None,
    };
    let (mut found, mut reported, mut without) = (0, 0, 0);
    let mut missed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let view = View::build(&case.raw, &ViewLimits::worker());
        let scan = examine(&view, &tables, &mut scratch, None, &async || ());
        let seen = futures_lite::future::block_on(scan).expect("the scan");
        let has = |rule: &str| seen.findings.iter().any(|finding| &*finding.rule == rule);
        let name = format!("WORD_{index}");
        if case.word.is_some() && has(&name) {
            found += 1;
        } else if REST.contains(&case.charset.as_str()) && has("CHARSET_UNKNOWN") {
            reported += 1;
        } else if case.word.is_none() && !case.name.contains("charset/") {
            // Bounces without a text part, or with a label that their octets do not keep.
            without += 1;
        } else {
            let what = format!("{} {:?}", case.name, case.word);
            missed.entry(case.charset.clone()).or_default().push(what);
        }
    }
    let all = cases.len();
    println!(
        "{all} mails: word found {found}, charset reported {reported}, without a word {without}"
    );
    assert!(missed.is_empty(), "{missed:#?}");
}
