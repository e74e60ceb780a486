//! YARA rules through a real engine and its sandboxed workers; without the feature `yara`, that it says so. With it the programs
//! have to be built with it, too: `make yara` does that.

use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;

const SOURCE: &str =
    "[[tables.source]]\npath = \"signatures\"\nkind = \"patterns\"\nformat = \"yara\"\n";

#[cfg(not(feature = "yara"))]
#[test]
fn a_build_without_yara_builds_no_tables_from_its_rules_and_says_what_is_missing() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    gateway.write("signatures/demo.yar", "rule Demo { condition: true }");
    let config = gateway.etc().join("sekisho.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    gateway.write("sekisho.toml", &format!("{text}\n{SOURCE}"));
    let built = gateway.sekisho(&["tables", "build"]);
    assert!(!built.status.success());
    let told = words(&built);
    assert!(
        told.contains("demo.yar: this build has no YARA: build with --features yara"),
        "{told}"
    );
    // The tables that were in force stay.
    let sent = gateway.send("a@example.com", &["user@demo.test"], b"Subject: x\r\n\r\nx\r\n");
    assert_eq!(sent.reply.code, 250);
}

#[cfg(feature = "yara")]
mod with {
    use std::io::Write as _;
    use std::time::Duration;

    use sekisho_tests::process::{peak_kib, workers_of};
    use sekisho_tests::wait::{wait_for, wait_longer};
    use serde_json::Value;

    use super::*;
    use crate::eicar::{TEXT, attachment, mail};

    const WORD: &[u8] = b"there is an unlikely word in here";
    const RULES: &str = "rule Word { strings: $a = \"unlikely word\" condition: $a }\n\
                         rule Advert { meta: sekisho_kind = \"spam\" sekisho_points = 9\n\
                         strings: $a = \"buy this at once\" condition: $a }\n";

    fn setup(hop: &Hop, rules: &[(&str, &str)]) -> Setup {
        let files =
            rules.iter().map(|(name, text)| (format!("signatures/{name}"), (*text).to_owned()));
        Setup { config: SOURCE.to_owned(), files: files.collect(), ..Setup::to(hop.address()) }
    }

    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, octets) in members {
            out.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            out.write_all(octets).unwrap();
        }
        out.finish().unwrap().into_inner()
    }

    fn pdf(data: &[u8]) -> Vec<u8> {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(data).unwrap();
        let data = zlib.finish().unwrap();
        let head = b"%PDF-1.4\n1 0 obj\n<< /Filter /FlateDecode >>\nstream\r\n";
        [&head[..], &data, b"\nendstream\nendobj\n"].concat()
    }

    /// Sends one mail under a subject of its own, and its row.
    fn judged(gateway: &Gateway, subject: &str, parts: &[&str]) -> Value {
        let sent = gateway.send("a@client.example", &["user@demo.test"], &mail(subject, parts));
        assert_eq!(sent.reply.code, 250, "{subject}: {}", sent.reply.text());
        wait_for("the row is in the log", || {
            let condition = format!("subject={subject}");
            let rows = gateway.sekisho_json(&["log", "search", &condition, "row=delivery"]);
            rows.into_iter().next()
        })
    }

    /// What a rule found, as the row says.
    fn detail<'r>(row: &'r Value, rule: &str) -> &'r str {
        let rules = row["rules"].as_array().unwrap();
        let found = rules.iter().find(|one| one["name"] == rule);
        found.unwrap_or_else(|| panic!("no {rule} in {row}"))["detail"].as_str().unwrap()
    }

    fn engine_log(gateway: &Gateway) -> String {
        String::from_utf8_lossy(&std::fs::read(gateway.data().join("run/engine.log")).unwrap())
            .into_owned()
    }

    #[test]
    fn rules_find_what_is_in_texts_archives_and_documents_by_a_worker() {
        let hop = Hop::start();
        let bad = "// a file of others\nrule Bad {\n  condition: pe.is_dll()\n}\n";
        let gateway = Gateway::start(&setup(&hop, &[("a/word.yar", RULES), ("bad.yara", bad)]));
        let shown = words(&gateway.sekisho(&["tables", "show"]));
        assert!(
            shown.contains("bad.yara:3:14") && shown.contains("no rule of this file"),
            "{shown}"
        );
        assert!(shown.contains("yara"), "{shown}");

        let plain = "Content-Type: text/plain\r\n\r\nthere is an unlikely word in here";
        let document = zip(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", WORD)]);
        let nested = zip(&[("inner.zip", &zip(&[("readme.txt", WORD)]))]);
        let cases = [
            ("plain", plain.to_owned(), "2"),
            ("zip", attachment("a.zip", &zip(&[("readme.txt", WORD)])), "readme.txt"),
            ("nested", attachment("a.zip", &nested), "readme.txt"),
            ("document", attachment("a.docx", &document), "word/document.xml"),
            ("pdf", attachment("a.pdf", &pdf(WORD)), ""),
        ];
        for (subject, part, place) in &cases {
            let row = judged(&gateway, subject, &[TEXT, part]);
            assert_eq!(row["classification"], "Virus", "{subject}: {row}");
            assert_eq!(row["status"], "held", "{subject}: {row}");
            assert!(detail(&row, "YARA.Word").contains(place), "{subject}: {row}");
        }
        assert_eq!(hop.mails().len(), 0, "all held");
        let row = judged(&gateway, "advert", &["Content-Type: text/plain\r\n\r\nbuy this at once"]);
        assert_eq!(row["classification"], "Spam", "{row}");
        let row = judged(&gateway, "clean", &[TEXT]);
        assert_eq!((&row["classification"], hop.mails().len()), (&"Not Spam".into(), 1), "{row}");
        let status = gateway.status();
        let by_worker = &status["counters"]["scans_on_worker"];
        assert!(by_worker.as_u64().is_some_and(|mails| mails >= 7), "no mail on a shard: {status}");
        assert!(!engine_log(&gateway).contains("worker died"), "{}", engine_log(&gateway));

        // The command line says the same.
        let file = gateway.data().join("mail.eml");
        std::fs::write(&file, mail("check", &[TEXT, &cases[1].1])).unwrap();
        let told = words(&gateway.sekisho(&["check", &file.display().to_string()]));
        assert!(told.contains("YARA.Word"), "{told}");

        // A file that is gone takes its rules along, with the next tables.
        std::fs::remove_file(gateway.etc().join("signatures/a/word.yar")).unwrap();
        gateway.write("signatures/other.yar", "rule Other { condition: false }");
        let built = gateway.sekisho(&["tables", "build"]);
        assert!(built.status.success(), "{}", words(&built));
        let row = judged(&gateway, "afterwards", &[TEXT, &cases[1].1]);
        assert_eq!(row["classification"], "Not Spam", "{row}");
        let peaks: Vec<_> = workers_of(gateway.pid()).into_iter().filter_map(peak_kib).collect();
        eprintln!("memory of the workers, KiB: {peaks:?}");
    }

    #[test]
    fn an_attachment_that_a_rule_finds_is_taken_out_and_the_rest_is_delivered() {
        let hop = Hop::start();
        let settings = "recipient.verify = \"off\"\nvirus.in = \"clean\"\n".to_owned();
        let gateway = Gateway::start(&Setup { settings, ..setup(&hop, &[("word.yar", RULES)]) });
        let infected = attachment("a.zip", &zip(&[("readme.txt", WORD)]));
        let row = judged(&gateway, "cleaned", &[TEXT, &infected, &attachment("b.txt", b"good")]);
        assert_eq!(row["removed"], serde_json::json!(["a.zip (YARA.Word)"]), "{row}");
        let delivered = String::from_utf8(hop.mails().remove(0).content).unwrap();
        assert!(delivered.contains("b.txt") && delivered.contains("a.zip.txt"), "{delivered}");
    }

    #[test]
    fn a_rule_that_never_ends_costs_its_time_and_is_a_limit_of_the_scan() {
        let hop = Hop::start();
        let endless = "rule Endless { strings: $a = \"endless\" condition: $a and \
                       for any i in (1..1000000000000) : (uint8(i) == 256) }";
        let gateway = Gateway::start(&setup(&hop, &[("e.yar", endless), ("word.yar", RULES)]));
        let before = workers_of(gateway.pid());
        let row = judged(&gateway, "endless", &["Content-Type: text/plain\r\n\r\nendless"]);
        assert_eq!(row["reason"], "scan_exception", "{row}");
        assert!(detail(&row, "SCAN_TIMEOUT").contains("YARA"), "{row}");
        let row = judged(&gateway, "next", &["Content-Type: text/plain\r\n\r\nunlikely word"]);
        assert_eq!(row["classification"], "Virus", "{row}");
        assert!(!engine_log(&gateway).contains("worker died"), "{}", engine_log(&gateway));
        let same = || before.is_empty() || workers_of(gateway.pid()) == before;
        wait_longer("the same worker goes on", Duration::from_secs(5), || same().then_some(()));
    }
}
