//! Every parser and file format, fed with seeds that are bent, cut, joined and overwritten. A smoke
//! run in the gate (2 seconds each), as long as wanted with `make fuzz`.
//!
//! No coverage guides it: what it finds are the plain mistakes (an index, an overflow, a loop), in
//! every build and without a special compiler. A canary proves that it would find one. The seed of a
//! failure is printed; the input is written to the build directory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::print_stderr,
    reason = "a fuzzer says how far it came"
)]

mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sekisho_core as core;
use sekisho_loadgen::random::Random;
use sekisho_tests::corpus::{self, files, repository};

/// One input that takes longer hangs.
const INPUT_MAX: Duration = Duration::from_secs(10);

fn seconds() -> Duration {
    let wanted = std::env::var("SEKISHO_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(wanted.unwrap_or(2))
}

/// Mails of the repository, and what is given.
fn mails() -> Vec<Vec<u8>> {
    let own = files(&repository().join("tests/data/eml"));
    own.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Runs `target` on bent seeds until the time is over; the first panic or hang fails with its input.
fn run(
    name: &str,
    seeds: &[Vec<u8>],
    limit: Duration,
    target: impl Fn(&[u8]),
) -> Result<u64, String> {
    let seed = 0x5eed ^ name.len() as u64;
    let mut random = Random::new(seed);
    let start = Instant::now();
    let mut inputs = 0;
    while start.elapsed() < limit {
        let input = mutate::bend(seeds, &mut random);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let took = began.elapsed();
        inputs += 1;
        if outcome.is_err() || took > INPUT_MAX {
            let file = std::env::temp_dir().join(format!("sekisho-fuzz-{name}"));
            let _ = std::fs::write(&file, &input);
            let what = if outcome.is_err() { "panics" } else { "hangs" };
            return Err(format!(
                "{name} {what} on input {inputs} of seed {seed:#x} ({} octets, {took:?}): {}",
                input.len(),
                file.display()
            ));
        }
    }
    Ok(inputs)
}

fn smoke(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    match run(name, seeds, seconds(), target) {
        Ok(inputs) => {
            eprintln!("fuzz {name}: {inputs} inputs");
            assert!(inputs > 0);
        }
        Err(failure) => panic!("{failure}"),
    }
}

const DIALOGUE: &str = "EHLO a.example.com\r\nMAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME\r\n\
    RCPT TO:<u@demo.test> NOTIFY=FAILURE ORCPT=rfc822;u@demo.test\r\nDATA\r\nA: b\r\n\r\n..c\r\n.\r\n\
    MAIL FROM:<>\r\nRCPT TO:<\"a b\"@demo.test>\r\nBDAT 5\r\nA: b\nBDAT 3 LAST\r\n\r\nxRSET\r\n\
    VRFY u\r\nXCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]\r\nSTARTTLS\r\nQUIT\r\n";

#[test]
fn a_session_survives_anything_that_a_client_may_send() {
    smoke("session", &texts(&[DIALOGUE]), core::session::fuzz_session);
}

#[test]
fn the_grammar_of_commands_survives_anything() {
    let seeds = texts(&[
        "MAIL FROM:<@a,@b:c@example.com> SMTPUTF8",
        "RCPT TO:<\"q\\\"uoted\"@[IPv6:2001:db8::1]>",
    ]);
    smoke("grammar", &seeds, core::session::grammar::fuzz_grammar);
}

#[test]
fn a_proxy_header_may_be_anything() {
    let seed =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x08\x12\x67\x00\x19";
    smoke("proxy", &[seed.to_vec()], core::session::proxy::fuzz_proxy);
}

#[test]
fn the_view_of_a_message_survives_any_octets() {
    smoke("view", &mails(), core::message::fuzz_view);
}

#[test]
fn html_may_be_anything() {
    let seeds = texts(&[
        "<html><body><p style='display:none'>a</p><a href=\"http://x.example/&#x41;\">b</a></body>",
        "<!-- <table> --><script>x</script>&nbsp;&#0;&#99999999;",
    ]);
    smoke("html", &seeds, core::message::fuzz_html);
}

#[test]
fn a_mail_may_be_rewritten_whatever_it_is() {
    smoke("rewrite", &mails(), core::rewrite::fuzz_rewrite);
}

#[test]
fn a_scanner_may_reply_anything() {
    let seeds = texts(&[
        "stream: Eicar-Test-Signature(44d88612fea8a8f36de82e1278abb02f:68) FOUND",
        "INSTREAM size limit exceeded. ERROR",
        "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=A;\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n",
        "ICAP/1.0 200 OK\r\nX-Violations-Found: 1\r\n\tfile\r\n\tA.B\r\n\t1\r\n\t0\r\n\r\n",
    ]);
    smoke("scanners", &seeds, core::engines::fuzz_replies);
}

#[test]
fn a_program_may_be_anything() {
    let mut seed = vec![0_u8; 1024];
    for (at, octets) in [
        (0x00, b"MZ".as_slice()),
        (0x3c, b"\x40"),
        (0x40, b"PE\0\0\x4c\x01\x02\0"),
        (0x54, b"\xe0\0"),
        (0x58, b"\x0b\x01"),
        (0x69, b"\x10"),
        (0x7d, b"\x02"),
        (0xc1, b"\x20"),
        (0x138, b".text\0\0\0\0\x02\0\0\0\x10\0\0\0\x02\0\0\0\x02"),
        (0x160, b".data\0\0\0\0\x02\0\0\0\x20\0\0\0\x01\0\0\0\x03"),
        (0x300, b"\x40\x20\0\0\0\0\0\0\0\0\0\0\x60\x20\0\0\x40\x20"),
        (0x340, b"\x70\x20\0\0\x07\0\0\x80"),
        (0x360, b"A.DLL\0"),
        (0x370, b"\0\0F\0"),
    ] {
        seed[at..at + octets.len()].copy_from_slice(octets);
    }
    smoke("pe", &[seed], core::message::pe::fuzz_pe);
}

#[test]
fn an_archive_may_be_anything() {
    smoke("zip", &mutate::archives(), core::scan::fuzz_archive);
}

/// Archives of one kind out of the corpus, the smaller ones: large ones spend the time on their length.
fn corpus_archives(endings: &[&str]) -> Vec<Vec<u8>> {
    let folders = ["archives", "eicar"].into_iter().filter_map(corpus::folder);
    let all = folders.flat_map(|folder| files(&folder));
    let named = all.filter(|path| {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        endings.iter().any(|ending| name.ends_with(ending))
    });
    let read = named.map(|path| std::fs::read(path).unwrap());
    read.filter(|octets| octets.len() < 64 * 1024).collect()
}

fn archives_of(name: &str, endings: &[&str]) {
    let seeds = corpus_archives(endings);
    if !seeds.is_empty() {
        smoke(name, &seeds, core::scan::fuzz_archive);
    }
}

#[test]
fn a_7z_may_be_anything() {
    archives_of("7z", &[".7z"]);
}

#[test]
fn a_rar_may_be_anything() {
    archives_of("rar", &[".rar"]);
}

#[test]
fn a_cabinet_may_be_anything() {
    archives_of("cab", &[".cab"]);
}

#[test]
fn a_compressed_stream_may_be_anything() {
    archives_of("streams", &[".gz", ".bz2", ".tbz", ".xz", ".zst", ".lz", ".tlz", ".tgz"]);
}

#[test]
fn cpio_tar_and_disk_images_may_be_anything() {
    archives_of("images", &[".cpio", ".tar", ".iso", ".arj", ".lzh"]);
}

/// Documents of one kind out of the corpus, the smaller ones.
fn corpus_documents(endings: &[&str]) -> Vec<Vec<u8>> {
    let all = corpus::folder("docs").into_iter().flat_map(|folder| files(&folder));
    let named = all.filter(|path| {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        endings.iter().any(|ending| name.ends_with(ending))
    });
    let read = named.map(|path| std::fs::read(path).unwrap());
    read.filter(|octets| octets.len() < 128 * 1024).collect()
}

#[test]
fn a_compound_file_may_be_anything() {
    let mut seeds =
        corpus_documents(&[".doc", ".xls", ".ppt", ".vsd", ".docx", ".xlsx", ".pptm", ".xlsb"]);
    seeds.retain(|octets| octets.starts_with(b"\xD0\xCF\x11\xE0"));
    seeds.push(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".repeat(100));
    smoke("ole", &seeds, core::scan::fuzz_ole);
}

#[test]
fn a_message_of_outlook_may_be_anything() {
    let mut seeds = corpus_documents(&[".msg"]);
    seeds.push(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".repeat(100));
    smoke("msg", &seeds, core::scan::fuzz_ole);
}

#[test]
fn rich_text_may_be_anything() {
    let seeds = texts(&[
        "{\\rtf1{\\object\\objemb\\objupdate{\\*\\objclass Package}{\\*\\objdata 0105000002000000\
         080000005061636b616765000000000000000000 10000000 0200612e657865 00 {\\*\\x 61}\\bin4 abcd}}}",
        "{\\rtf1{\\*\\template http://x.example/}{\\field{\\*\\fldinst DDEAUTO \\u99? \\'63 x}}{\\pict 00ff}}",
    ]);
    smoke("rtf", &seeds, core::scan::fuzz_rtf);
}

#[test]
fn what_acts_may_be_anything() {
    let mut seeds = texts(&[
        "<?xml version=\"1.0\"?><w:p><w:fldChar w:fldCharType='begin'/><w:instrText>DDE &#x41; \"x\"\
         </w:instrText><!-- x --><Relationship Type=\"a/attachedTemplate\" Target='http://x/' TargetMode=External>",
        "ID;P\nO;E\nNN;NAuto_open;ER1\nC;X1;EEXEC(\"x\")\na,=cmd|'/c x'!A0\n",
        "<html><script>eval(atob('x'));new Blob([1]);URL.createObjectURL(b)</script><svg onload=x>",
        "[InternetShortcut]\nURL=http://x.example/\n",
        "\u{68}\u{2}\u{10}\u{1}\0\u{3}\0\0\0c\0m\0d\0",
    ]);
    seeds.extend(corpus_documents(&[".xml", ".csv", ".slk"]));
    smoke("active", &seeds, core::scan::fuzz_active);
}

#[test]
fn a_pdf_may_be_anything() {
    let mut seeds = corpus_documents(&[".pdf"]);
    seeds.truncate(40);
    seeds.push(b"%PDF-1.7 /OpenAction 1 0 R 1 0 obj <</S/J#61vaScript/JS(x)/URI <6162>>> stream\nx endstream".to_vec());
    smoke("pdf", &seeds, core::scan::fuzz_archive);
}

#[test]
fn a_record_of_spf_may_be_anything() {
    let seeds = texts(&[
        "v=spf1 a:foo.%{d2r-}/24//64 mx ip4:192.0.2.0/24 exists:%{ir}.%{v}.%{l}.x.test -all",
        "v=spf1 include:_spf.%{o} ?ptr ip6:2001:db8::/32 redirect=%{h} exp=why.%{d}",
    ]);
    smoke("spf", &seeds, core::authn::fuzz_spf);
}

#[test]
fn signed_mail_may_be_anything() {
    let seeds = texts(&[
        "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=s; b=AA\r\nARC-Message-Signature: i=1; a=rsa-sha256; \
         d=a.test; s=s; h=from; bh=AA; b=AA\r\nARC-Authentication-Results: i=1; a.test; dmarc=pass header.from=b.test\r\n\
         From: a@b.test\r\n\r\nText.\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=a.test; s=s; t=1; x=2; l=5; h=from:to; \
         bh=AAAA; b=AAAA\r\nFrom: a@a.test\r\n\r\nText.\r\n",
    ]);
    smoke("signed", &seeds, core::authn::fuzz_signed);
}

#[test]
fn the_configuration_may_be_anything() {
    smoke("config", &texts(&[core::config::DEFAULT_TEXT]), core::config::fuzz_config);
}

#[test]
fn a_domains_file_may_be_anything() {
    let seed = include_str!("../../appliance/ctl/src/run/domains.toml");
    smoke("domains", &texts(&[seed]), core::policy::source::fuzz_domains);
}

#[test]
fn texts_that_rules_look_into_may_be_anything() {
    let mut seeds = texts(&[
        "4111 1111 1111 1111 123456789018 7-0000-1205-0002 309212345690 GB82 WEST 1234 5698 7654 32",
        "旅券番号 ＴＫ１２３４５６７ 口座 1234567 03-1234-5678 +81-90-1234-5678 536-90-4399 a@b.example",
        "<?xml version=\"1.0\"?><w:p><w:t>a &amp; b &#x3042;</w:t></w:p><c><v>1</v></c>",
        "a aa aaa secret 漢\r\n字",
    ]);
    seeds.extend(mails().into_iter().take(20));
    smoke("content", &seeds, core::scan::content::fuzz_content);
}

#[test]
fn the_answers_of_a_next_hop_may_be_anything() {
    let seeds = texts(&[
        "220 hop\r\n250-hop\r\n250-PIPELINING\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
    ]);
    smoke("hop", &seeds, core::deliver::client::fuzz_hop_reply);
}

/// A bug that is planted must be found: a fuzzer that cannot fail proves nothing.
#[test]
fn the_canary_is_found() {
    let seeds = texts(&["length: 4\r\ndata\r\n"]);
    let planted = |data: &[u8]| {
        let Some(rest) = data.strip_prefix(b"length: ") else { return };
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let length: usize = String::from_utf8_lossy(&rest[..digits]).parse().unwrap_or(0);
        // The planted mistake: a length that a peer sent is believed.
        let body = rest.get(digits + 2..).unwrap_or_default();
        std::hint::black_box(&body[..length]);
    };
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let found = run("canary", &seeds, Duration::from_secs(20), planted);
    std::panic::set_hook(quiet);
    assert!(found.is_err(), "{found:?} inputs, and the planted mistake was not found");
}
