use std::collections::HashMap;
use std::io::{Cursor, Read as _};

use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use zip::ZipArchive;

use super::documents::eicar;
use super::text::PHRASES;
use super::{Framing, Mix, Template, files, to_canonical, zone};
use crate::random::Random;
use crate::store::envelope_id;

const DRAWS: usize = 4000;

fn named(name: &str) -> Mix {
    Mix::named(name, 1).unwrap()
}

/// Mean size, share of each class in percent, share of 10 to 100 KiB in percent, of `DRAWS` draws.
fn drawn(mix: &Mix) -> (usize, HashMap<&'static str, f64>, f64) {
    let mut random = Random::new(2);
    let (mut bytes, mut middle) = (0, 0);
    let mut classes: HashMap<&'static str, usize> = HashMap::new();
    for _ in 0..DRAWS {
        let template = mix.pick(&mut random);
        let size = template.content().len();
        bytes += size;
        middle += usize::from((10 * 1024..=100 * 1024).contains(&size));
        *classes.entry(template.class()).or_default() += 1;
    }
    let percent = |count: usize| count as f64 * 100.0 / DRAWS as f64;
    let classes = classes.into_iter().map(|(name, count)| (name, percent(count))).collect();
    (bytes / DRAWS, classes, percent(middle))
}

fn check_shares(mix: &Mix, expected: &[(&str, f64)]) {
    let (_, shares, _) = drawn(mix);
    assert_eq!(shares.len(), expected.len(), "{shares:?}");
    for (name, percent) in expected {
        // Three standard deviations of 4,000 draws are 2.4 percent at most.
        assert!((shares[name] - percent).abs() < 2.4, "{name}: {} of {percent} %", shares[name]);
    }
}

#[test]
fn the_sizes_mix_has_the_mean_size_it_names_and_every_mail_its_own_id() {
    let mix = Mix::generated(1);
    let mut random = Random::new(2);
    let mut bytes = 0;
    for number in 0..DRAWS {
        let mail = mix.draw(&mut random, &format!("id-{number}"));
        assert_eq!(envelope_id(&mail), Some(format!("id-{number}")));
        bytes += mail.len();
    }
    let mean = bytes / DRAWS;
    assert!((15_500..18_500).contains(&mean), "mean {mean} octets");
    check_shares(&mix, &[("2k", 70.0), ("20k", 25.0), ("200k", 5.0)]);
    for template in mix.templates() {
        let (size, name) = (template.content().len(), template.class());
        let aim = name.trim_end_matches('k').parse::<usize>().unwrap() * 1024;
        let near = aim - aim / 8..aim + aim / 3;
        assert!(near.contains(&size), "a mail of {size} octets in class {name}");
    }
}

#[test]
fn the_classes_mix_has_the_shares_of_the_plan_and_nine_of_ten_between_10_and_100_kib() {
    let mix = named("classes");
    check_shares(&mix, &[("clean", 73.0), ("spam", 13.0), ("phishing", 7.0), ("virus", 7.0)]);
    let (_, _, middle) = drawn(&mix);
    assert!((87.0..93.0).contains(&middle), "{middle} % between 10 and 100 KiB");
}

#[test]
fn the_mean_and_the_spam_trap_mixes_have_their_means() {
    let (mean, _, _) = drawn(&named("mean15"));
    assert!((14_600..16_200).contains(&mean), "mean15: mean {mean} octets");
    check_shares(&named("mean15"), &[("4k", 60.0), ("16k", 30.0), ("78k", 10.0)]);
    let (mean, _, _) = drawn(&named("trap"));
    assert!((1_750..1_950).contains(&mean), "trap: mean {mean} octets");
    check_shares(&named("trap"), &[("spam", 100.0)]);
}

#[test]
fn the_real_mix_has_its_shares_and_a_mean_of_a_day_with_documents() {
    let real = named("real");
    let shares = [
        ("text", 25.0),
        ("page", 33.0),
        ("zip", 11.0),
        ("docx", 10.0),
        ("xlsx", 8.0),
        ("pdf", 13.0),
    ];
    check_shares(&real, &shares);
    let (mean, _, _) = drawn(&real);
    assert!((25_000..60_000).contains(&mean), "mean {mean} octets");
}

#[test]
fn the_same_seed_gives_the_same_octets_and_another_one_others() {
    for name in Mix::NAMES {
        let all = |seed| -> Vec<Vec<u8>> {
            let mix = Mix::named(name, seed).unwrap();
            mix.templates().map(|template| template.content().to_vec()).collect()
        };
        let one = all(7);
        assert!(one == all(7), "{name}: seed 7 twice");
        assert!(one != all(8), "{name}: seeds 7 and 8");
    }
    assert_eq!(zone(7).unwrap(), zone(7).unwrap());
    let error = Mix::named("turbo", 1).unwrap_err();
    assert_eq!(error, "mix `turbo`: not one of sizes, classes, mean15, trap, real");
}

#[test]
fn every_generated_mail_is_seven_bit_with_short_lines_and_canonical_line_ends() {
    for name in Mix::NAMES {
        for template in named(name).templates() {
            let content = template.content();
            assert!(content.is_ascii() && !template.is_eight_bit(), "{name}");
            assert!(content.ends_with(b"\r\n"));
            assert_eq!(to_canonical(content), content, "{name}/{}", template.class());
            for line in content.split(|&octet| octet == b'\n') {
                assert!(line.len() <= 999, "{name}/{}: {}", template.class(), line.len());
            }
        }
    }
}

/// Subject and texts of a mail, decoded.
fn texts(template: &Template) -> String {
    let message = MessageParser::default().parse(template.content()).unwrap();
    let mut all = format!("{}\n", message.subject().unwrap());
    all.push_str(message.from().unwrap().first().unwrap().name().unwrap());
    for part in &message.parts {
        if let PartType::Text(text) | PartType::Html(text) = &part.body {
            all.push_str(text);
        }
    }
    all
}

#[test]
fn every_mail_parses_and_each_mix_is_japanese_in_five_charsets_that_decode() {
    for name in Mix::NAMES {
        let mut charsets: HashMap<String, usize> = HashMap::new();
        for template in named(name).templates() {
            let message = MessageParser::default().parse(template.content()).unwrap();
            assert!(message.date().is_some() && message.message_id().is_some());
            let text = texts(template);
            let raw = String::from_utf8_lossy(template.content());
            let head = raw.split_once("\r\n\r\n").unwrap().0;
            // mail-parser knows the older three charsets only with a feature that the product leaves off.
            let decodes = !head.contains("=?") || head.contains("=?utf-8?");
            assert!(!decodes || !text.contains('\u{fffd}'), "{name}/{}: {text}", template.class());
            if head.contains("=?") {
                let charset = head.split("Subject: =?").nth(1).unwrap();
                let encoding: Vec<&str> = charset.split('?').take(2).collect();
                *charsets.entry(encoding.join("?")).or_default() += 1;
                let bare: String = text.split_whitespace().collect();
                assert!(
                    !decodes || PHRASES.iter().any(|phrase| bare.contains(phrase)),
                    "{name}: {text}"
                );
            }
        }
        let mut found: Vec<&str> = charsets.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            ["EUC-JP?B", "ISO-2022-JP?B", "Shift_JIS?B", "utf-8?B", "utf-8?Q"],
            "{name}"
        );
    }
}

fn attachment(template: &Template) -> (String, Vec<u8>) {
    let message = MessageParser::default().parse(template.content()).unwrap();
    let file = message.attachments().next().unwrap();
    (file.attachment_name().unwrap().to_owned(), file.contents().to_vec())
}

fn member(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut octets = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut octets).unwrap();
    octets
}

#[test]
fn archives_and_office_documents_open_and_hold_what_their_kind_holds() {
    let mut seen = HashMap::new();
    for template in named("real").templates() {
        let wanted = match template.class() {
            "zip" => "report/prices.csv",
            "docx" => "word/document.xml",
            "xlsx" => "xl/worksheets/sheet1.xml",
            _ => continue,
        };
        let (name, octets) = attachment(template);
        assert!(name.ends_with(template.class()), "{name}");
        let text = String::from_utf8(member(&octets, wanted)).unwrap();
        assert!(text.len() > 2_000, "{name}: {wanted} of {} octets", text.len());
        if template.class() != "zip" {
            let types = String::from_utf8(member(&octets, "[Content_Types].xml")).unwrap();
            assert!(types.contains(wanted), "{types}");
            // Every tag that opens closes.
            let opened = text.matches('<').count() - text.matches("</").count();
            let single = text.matches("/>").count() + text.matches("?>").count();
            assert_eq!(opened, text.matches("</").count() + single);
        }
        *seen.entry(template.class()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn papers_are_pdf_whose_table_points_at_objects_and_whose_streams_unpack() {
    let mut papers = 0;
    for template in named("real").templates().filter(|template| template.class() == "pdf") {
        let (name, octets) = attachment(template);
        assert_eq!(name, "paper.pdf");
        let find = |needle: &[u8]| memchr::memmem::rfind(&octets, needle).unwrap();
        let tail = String::from_utf8_lossy(&octets[find(b"startxref")..]).into_owned();
        let start: usize = tail.lines().nth(1).unwrap().parse().unwrap();
        let table = String::from_utf8_lossy(&octets[start..]).into_owned();
        let mut rows = table.lines().skip(1);
        let count: usize = rows.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        for number in 1..count {
            let row = rows.nth(usize::from(number == 1)).unwrap();
            let offset: usize = row[..10].parse().unwrap();
            let object = format!("{number} 0 obj\n");
            assert!(octets[offset..].starts_with(object.as_bytes()), "object {number}");
        }
        let mut pages = 0;
        for at in memchr::memmem::find_iter(&octets, b">>\nstream\n") {
            let mut text = Vec::new();
            let packed = &octets[at + 10..];
            flate2::read::ZlibDecoder::new(packed).read_to_end(&mut text).unwrap();
            pages += usize::from(text.starts_with(b"BT /F1"));
        }
        assert!(pages > 0);
        papers += 1;
    }
    assert_eq!(papers, 24);
}

/// The octets of the test file wherever they lie in an archive.
fn infected(octets: &[u8]) -> bool {
    if octets == eicar() {
        return true;
    }
    let Ok(mut archive) = ZipArchive::new(Cursor::new(octets)) else { return false };
    (0..archive.len()).any(|index| {
        let mut inner = Vec::new();
        archive.by_index(index).unwrap().read_to_end(&mut inner).unwrap();
        infected(&inner)
    })
}

#[test]
fn every_virus_mail_has_the_test_file_in_one_of_four_containers_and_no_other_mail_has() {
    let mut names: HashMap<String, usize> = HashMap::new();
    for template in named("classes").templates() {
        let message = MessageParser::default().parse(template.content()).unwrap();
        let found = message.attachments().any(|file| infected(file.contents()));
        assert_eq!(found, template.class() == "virus", "{}", template.class());
        if found {
            *names.entry(attachment(template).0).or_default() += 1;
        }
    }
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn a_template_is_the_same_mail_dot_stuffed_and_plain() {
    for content in [&b"A: b\r\n\r\nc\r\n"[..], b".a\r\n..\r\n.\r\nb.\r\n", b"", b"\r\n.\r\n"] {
        let template = Template::new("files", content.to_vec());
        assert_eq!(template.content(), content);
        let body = template.stuffed().strip_suffix(b".\r\n").unwrap();
        let mut back = Vec::new();
        for line in body.split_inclusive(|&octet| octet == b'\n') {
            assert_ne!(line, b".\r\n", "an end of data inside");
            back.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        assert_eq!(back, content);
        // Both framings of a session are octets of the template, and not one more.
        for (framing, expected) in
            [(Framing::Dots, template.stuffed()), (Framing::Octets, template.content())]
        {
            let sent = template.content_for(framing);
            assert_eq!(sent.octets.get(..sent.bytes), Some(expected), "{framing:?}");
        }
    }
    assert!(Template::new("files", "A: ä\r\n".into()).is_eight_bit());
}

#[test]
fn an_mbox_line_goes_and_every_kind_of_line_end_becomes_canonical() {
    for (file, mail) in [
        (&b"From a@b Thu\nA: b\n\nc\n"[..], &b"A: b\r\n\r\nc\r\n"[..]),
        (b"A: b\r\n\r\nc", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\rc\r", b"A: b\r\n\r\nc\r\n"),
        (b"From: a\n", b"From: a\r\n"),
        (b"", b""),
    ] {
        assert_eq!(to_canonical(file), mail);
    }
}

#[test]
fn an_mbox_is_split_at_separators_only_and_quoted_lines_lose_one_mark() {
    let check = |mbox: &[u8], mails: &[&[u8]]| {
        let found = files::split_mbox(mbox);
        let shown = |mails: &[Vec<u8>]| String::from_utf8_lossy(&mails.concat()).into_owned();
        assert_eq!(found, mails, "{}", shown(&found));
    };
    check(
        b"From a@b Thu\nA: b\n\nc\nFrom the start\n>From x\n>>From y\n> From z\n\nFrom d@e Fri\r\nF: g\r\n\r\n",
        &[
            b"A: b\r\n\r\nc\r\nFrom the start\r\nFrom x\r\n>From y\r\n> From z\r\n",
            b"F: g\r\n\r\n",
        ],
    );
    check(b"From a\nA: b\n\n\nFrom c\nD: e\n\nf\n\n", &[b"A: b\r\n\r\n", b"D: e\r\n\r\nf\r\n"]);
    check(b"no separator\n", &[]);
    check(b"", &[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mails");
    std::fs::write(&file, b"From a\nA: b\n\nc\n\nFrom d\nE: f\n\ng\n").unwrap();
    let mix = Mix::from_mbox(&file).unwrap();
    let contents: Vec<&[u8]> = mix.templates().map(Template::content).collect();
    assert_eq!(contents, [b"A: b\r\n\r\nc\r\n".as_slice(), b"E: f\r\n\r\ng\r\n"]);
    std::fs::write(&file, b"\n").unwrap();
    assert!(Mix::from_mbox(&file).is_err());
}

#[test]
fn a_directory_is_drawn_from_evenly_and_by_shares_if_it_has_the_sizes() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.eml"), b"A: b\n\nc\n").unwrap();
    std::fs::create_dir(dir.path().join("2k")).unwrap();
    std::fs::write(dir.path().join("2k/b.eml"), b"D: e\n\nf\n").unwrap();
    assert_eq!(Mix::from_directory(dir.path()).unwrap().count(), 2);
    for size in ["20k", "200k"] {
        std::fs::create_dir(dir.path().join(size)).unwrap();
        assert!(Mix::from_directory(dir.path()).is_ok() == (size == "20k"), "200k is empty");
        std::fs::write(dir.path().join(size).join("c.eml"), b"D: e\n\nf\n").unwrap();
    }
    check_shares(
        &Mix::from_directory(dir.path()).unwrap(),
        &[("2k", 70.0), ("20k", 25.0), ("200k", 5.0)],
    );
}
