//! Passwords that the mail itself says, and messages of Outlook.

use std::io::Write;

use super::active::{rules, seen};
use super::compound::compound;
use super::{corpus, eicar, files_below, look, mail_with, no_tables};
use crate::message::{View, ViewLimits};
use crate::scan::finding::FindingKind;
use crate::scan::{ArchiveLimits, expand, msg_to_mail};

/// A mail with this text and one attachment.
fn mail_saying(text: &str, name: &str, octets: &[u8]) -> Vec<u8> {
    let raw = String::from_utf8(mail_with(name, octets)).unwrap();
    let head = "\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";
    raw.replacen("\r\n\r\n--b\r\n\r\ntext", &format!("{head}{text}"), 1).into_bytes()
}

fn protected(password: &str, aes: bool) -> Vec<u8> {
    use ::zip::unstable::write::FileOptionsExt as _;
    use ::zip::write::{SimpleFileOptions, ZipWriter};
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let options = match aes {
        true => options.with_aes_encryption(::zip::AesMode::Aes256, password),
        false => options.with_deprecated_encryption(password.as_bytes()).unwrap(),
    };
    writer.start_file("e.com", options).unwrap();
    writer.write_all(&eicar()).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn passwords_that_the_mail_says_open_what_is_in_it() {
    for (text, password) in [
        ("パスワードは Abc-123! です。", "Abc-123!"),
        ("解凍パスワード：ｓｅｋｉ２０２４", "seki2024"),
        ("PW: x9$kQ", "x9$kQ"),
        ("The password is \"two words\".", "two words"),
        ("pass = 0901", "0901"),
        ("「ひみつ2」で開いてください。", "ひみつ2"),
        ("see attachment tango77 please", "tango77"),
    ] {
        for aes in [false, true] {
            let raw = mail_saying(text, "a.zip", &protected(password, aes));
            let kinds = super::kinds_of(&raw);
            assert!(kinds.contains(&FindingKind::Malware), "{text} {aes} {kinds:?}");
            assert!(!kinds.contains(&FindingKind::Encrypted), "{text} {aes} {kinds:?}");
            let seen = seen(&raw);
            assert!(rules(&seen).contains(&"SCAN_OPENED") && !seen.facts.encrypted, "{text}");
        }
    }
    let raw = mail_saying("it comes by telephone", "a.zip", &protected("tango77", true));
    assert!(super::kinds_of(&raw).contains(&FindingKind::Encrypted));
    let raw = mail_saying("PW: tango77", "a.zip", &protected("tango77", true));
    let mut view = View::build(&raw, &ViewLimits::worker());
    expand(&mut view, &ArchiveLimits { passwords_from_text: false, ..ArchiveLimits::default() });
    assert!(look(&view, &no_tables()).facts.encrypted, "the setting is off");
}

#[test]
fn protected_forms_of_the_test_file_are_a_virus_where_the_mail_says_how_to_open_them() {
    let Some(folder) = corpus("eicar") else { return };
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    let mut all = 0;
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("-pw") || name.ends_with(".eml") {
            continue;
        }
        let octets = std::fs::read(&path).unwrap();
        let kinds = super::kinds_of(&mail_saying("Password: infected", &name, &octets));
        assert!(kinds.contains(&FindingKind::Malware), "{name} {kinds:?}");
        assert!(!kinds.contains(&FindingKind::Encrypted), "{name} {kinds:?}");
        let kinds = super::kinds_of(&mail_saying("Password follows", &name, &octets));
        assert!(kinds.contains(&FindingKind::Encrypted), "{name} {kinds:?}");
        assert!(!kinds.contains(&FindingKind::Malware), "{name} {kinds:?}");
        all += 1;
    }
    assert!(all >= 4, "{all}");
}

#[test]
fn office_documents_are_opened_with_a_password_of_the_mail() {
    let Some(folder) = corpus("docs") else { return };
    for (name, password) in [
        ("office/poi/document-bug53475-password-is-pass.docx", "pass"),
        ("office/poi/poifs-protect.xlsx", ""),
        ("office/oletools-encrypted/encrypted.xlsx", "encrypted"),
    ] {
        let octets = std::fs::read(folder.join(name)).unwrap();
        let text = format!("Password: {password}");
        let seen = seen(&mail_saying(&text, "a.bin", &octets));
        let opened = rules(&seen).contains(&"SCAN_OPENED");
        assert_eq!(opened, !password.is_empty(), "{name}: {:?}", rules(&seen));
        assert_eq!(seen.facts.encrypted, password.is_empty(), "{name}");
    }
}

/// Found when the fuzz target `ole-streams` was written: memory was made for a key of as many bits as the document says.
#[test]
fn a_key_of_a_length_that_no_cipher_has_is_no_key() {
    for bits in ["80000000000", "18446744073709551615", "136", "0"] {
        let info = format!(
            "\u{4}\0\u{4}\0\u{40}\0\0\0<encryption><keyData keyBits='128' cipherAlgorithm='AES' cipherChaining='ChainingModeCBC' \
             hashAlgorithm='SHA1' saltValue='AAAAAAAAAAAAAAAAAAAAAA=='/><p:encryptedKey spinCount='1' keyBits='{bits}' \
             hashAlgorithm='SHA1' saltValue='AAAAAAAAAAAAAAAAAAAAAA==' encryptedVerifierHashInput='AAAAAAAAAAAAAAAAAAAAAA==' \
             encryptedVerifierHashValue='AAAAAAAAAAAAAAAAAAAAAA==' encryptedKeyValue='AAAAAAAAAAAAAAAAAAAAAA=='/></encryption>"
        );
        let file = compound(&[("EncryptionInfo", info.as_bytes()), ("EncryptedPackage", b"x")]);
        let seen = seen(&mail_saying("Password: secret", "a.docx", &file));
        assert!(seen.facts.encrypted, "{bits}");
        assert!(!rules(&seen).contains(&"SCAN_MALFORMED"), "{bits}: {:?}", rules(&seen));
    }
}

#[test]
fn old_workbooks_are_opened_with_excels_own_password_and_with_one_of_the_mail() {
    let Some(folder) = corpus("docs") else { return };
    let folder = folder.join("office/oletools-encrypted");
    let of = |name: &str, text: &str| {
        let octets = std::fs::read(folder.join(name)).unwrap();
        seen(&mail_saying(text, "a.bin", &octets))
    };
    // Excel's own password: it is encrypted, and what acts in it is seen.
    for (name, rule) in [
        ("autostart-encrypt-standardpassword.xls", "ACTIVE_VBA"),
        ("dde-test-encrypt-standardpassword.xls", "ACTIVE_DDE"),
    ] {
        let seen = of(name, "look at this");
        assert!(rules(&seen).contains(&rule), "{name}: {:?}", rules(&seen));
        assert!(seen.facts.encrypted && !rules(&seen).contains(&"SCAN_OPENED"), "{name}");
    }
    for name in ["encrypted.xls", "encrypted.doc"] {
        let closed = of(name, "Password: other");
        assert!(closed.facts.encrypted, "{name}");
        let opened = of(name, "Password: encrypted");
        assert!(rules(&opened).contains(&"SCAN_OPENED"), "{name}: {:?}", rules(&opened));
        assert!(!opened.facts.encrypted, "{name}");
    }
}

#[test]
fn encrypted_pdfs_are_opened_without_a_password_and_with_one_of_the_mail() {
    let Some(folder) = corpus("docs") else { return };
    // Revision 6 (AES of 256 bits) and 4 (AES of 128) with no password, 6 with one: members and "encrypted" after no
    // password, after another one, after the right one. What is drawn is a member, too.
    for (name, password, members) in [
        ("empty_protected.pdf", "", [3, 3, 3]),
        ("issue9972-1.pdf", "", [3, 3, 3]),
        ("pr6531_1.pdf", "asdfasdf", [0, 0, 2]),
    ] {
        let octets = std::fs::read(folder.join("pdf").join(name)).unwrap();
        for (text, wanted) in ["text", "Password: other", "Password: asdfasdf"].iter().zip(members)
        {
            let raw = mail_saying(text, "a.pdf", &octets);
            let seen = seen(&raw);
            let right = !password.is_empty() && text.ends_with(password);
            assert_eq!(seen.facts.encrypted, !right, "{name} {text}");
            assert_eq!(rules(&seen).contains(&"SCAN_OPENED"), right, "{name} {text}");
            let mut view = View::build(&raw, &ViewLimits::worker());
            let own = view.parts.len();
            expand(&mut view, &ArchiveLimits::default());
            assert_eq!(view.parts.len() - own, wanted, "{name} {text}");
        }
    }
}

#[test]
fn messages_of_outlook_become_mails() {
    let Some(folder) = corpus("docs") else { return };
    let mut files = Vec::new();
    files_below(&folder.join("msg"), &mut files);
    let (mut texts, mut all) = (0, 0);
    for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "msg")) {
        all += 1;
        let Some(mail) = msg_to_mail(&std::fs::read(path).unwrap()) else { continue };
        let view = View::build(&mail, &ViewLimits::worker());
        assert!(view.exceptions.is_empty(), "{} {:?}", path.display(), view.exceptions);
        texts += usize::from(!view.body().text.trim().is_empty());
        let lines = mail.split(|octet| *octet == b'\n');
        assert!(lines.map(<[u8]>::len).max() < Some(2000), "{}", path.display());
    }
    eprintln!("{texts} of {all} have a text");
    assert!(texts * 10 >= all * 8, "{texts} of {all}");
    assert!(msg_to_mail(b"no message").is_none());
    let octets = std::fs::read(folder.join("msg/attachment_test_msg.msg")).unwrap();
    let mail = msg_to_mail(&octets).unwrap();
    let view = View::build(&mail, &ViewLimits::worker());
    let names: Vec<&str> = view.parts.iter().filter_map(|part| part.file_name()).collect();
    assert_eq!(names, ["test-unicode.doc", "pj1.txt"]);
    let subject = view.fields_named("subject").next().map(|field| field.value.trim().to_owned());
    assert_eq!(subject.as_deref(), Some("test pièce jointe 1"));
}
