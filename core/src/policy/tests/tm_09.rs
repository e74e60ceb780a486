//! TM-09: each condition with a mail that fulfils it and one that nearly does; and what IIJ's filters
//! ask besides.

use super::*;
use crate::clock::UnixMillis;
use crate::envelope::Mailbox;
use crate::policy::source::parse_domains;
use crate::scan::content::ContentHit;
use crate::verdict::{AuthEvidence, AuthMethod, AuthOutcome, Reason};

/// The rule that a domains file with these conditions has.
fn rule(when: &str) -> PolicyRule {
    let text = format!(
        "[[domain]]\nname = \"a.example\"\nprofile = \"iij-secure-mx\"\n\
         [[domain.settings.rules]]\nname = \"r\"\naction = \"quarantine\"\n\
         [domain.settings.rules.when]\n{when}\n"
    );
    let (mut domains, _) = parse_domains(&text, "d.toml", &[]).expect(when);
    domains.remove(0).settings.rules.pop().expect("the rule")
}

fn holds(when: &str, facts: &Facts<'_>) -> bool {
    let rule = rule(when);
    let verdict = verdict(&[], &preset(Profile::IijSecureMx), ListDecision::None);
    rule.matches(0, &verdict, facts).is_some()
}

#[track_caller]
fn check(when: &str, fulfilled: &Facts<'_>, nearly: &Facts<'_>) {
    assert!(holds(when, fulfilled), "{when}");
    assert!(!holds(when, nearly), "{when}: nearly");
}

fn file(name: &str) -> AttachmentFact {
    AttachmentFact { name: name.into(), ..AttachmentFact::default() }
}

fn mailbox(text: &str) -> Mailbox {
    let (local_part, domain) = text.split_once('@').expect("an address");
    Mailbox::new(local_part, domain)
}

#[test]
fn tm_09_envelope_sender_is_blank() {
    let sender = mailbox("a@example.com");
    let some = Facts { sender: Some(&sender), ..Facts::default() };
    check("envelope_from_blank = true", &Facts::default(), &some);
    check("envelope_from_blank = false", &some, &Facts::default());
}

#[test]
fn tm_09_header_sender_differs_from_envelope_sender() {
    let sender = mailbox("a@example.com");
    let (same, other) = ([mailbox("A@Example.com")], [mailbox("a@example.org")]);
    let facts = |authors| Facts { sender: Some(&sender), authors, ..Facts::default() };
    check("from_differs_from_envelope = true", &facts(&other), &facts(&same));
    let report = Facts { authors: &other, ..Facts::default() };
    assert!(
        !holds("from_differs_from_envelope = true", &report),
        "a report has none to differ from"
    );
}

#[test]
fn tm_09_header_sender_differs_from_reply_to() {
    let author = [mailbox("a@example.com")];
    let (same, other) = ([mailbox("a@example.com")], [mailbox("b@example.com")]);
    let facts = |reply_to| Facts { authors: &author, reply_to, ..Facts::default() };
    check("from_differs_from_reply_to = true", &facts(&other), &facts(&same));
    assert!(!holds("from_differs_from_reply_to = true", &facts(&[])), "without Reply-To");
}

#[test]
fn tm_09_given_header_matches_keyword() {
    let when = "header = [{ name = \"X-Mailer\", matches = \"*bulk*\" }]";
    let facts = |headers| Facts { headers, ..Facts::default() };
    check(when, &facts(&[("x-mailer", "The BULK one")]), &facts(&[("X-Other", "bulk")]));
}

/// A content condition asks for the hits of its own expression.
fn by_hit(when: &str) {
    let id = rule(when).conditions.content[0].id;
    let hit = |id| [ContentHit { id, count: 1, place: "body".into(), excerpt: "x".into() }];
    let (own, other) = (hit(id), hit(id.wrapping_add(1)));
    check(
        when,
        &Facts { content: &own, ..Facts::default() },
        &Facts { content: &other, ..Facts::default() },
    );
}

#[test]
fn tm_09_subject_matches_keyword() {
    by_hit("content = [{ words = [\"invoice\"], in = [\"subject\"] }]");
}

#[test]
fn tm_09_body_matches_keyword() {
    by_hit("content = [{ regex = \"project-[0-9]+\", in = [\"body\"] }]");
}

#[test]
fn tm_09_attachment_content_matches_keyword() {
    by_hit("content = [{ words = [\"社外秘\"], in = [\"attachment\"], match = \"part\" }]");
}

#[test]
fn tm_09_subject_is_blank() {
    let facts = |headers| Facts { headers, ..Facts::default() };
    check("subject_blank = true", &facts(&[("Subject", "  ")]), &facts(&[("Subject", "x")]));
    assert!(holds("subject_blank = true", &facts(&[])), "or there is none");
    assert!(holds("subject_blank = true", &facts(&[("Subject", "\u{200B}\u{3000}")])), "no width");
}

#[test]
fn what_is_asked_to_be_otherwise_is_told_as_that_and_the_name_that_matched_is() {
    let verdict = verdict(&[], &preset(Profile::IijSecureMx), ListDecision::None);
    let sender = mailbox("a@example.com");
    let two = AttachmentFact { other_names: vec!["a.exe".into()], ..file("a.txt") };
    let facts = Facts {
        sender: Some(&sender),
        headers: &[("Subject", "x")],
        attachments: &[two],
        ..Facts::default()
    };
    for (when, told) in [
        ("body_blank = false", "body not blank"),
        ("subject_blank = false", "subject not blank"),
        ("attachment_encrypted = false", "no attachment password-protected"),
        ("attachment_active = false", "no attachment with active content"),
        ("envelope_from_blank = false", "envelope sender not blank"),
        ("attachment_name = [\"*.exe\"]", "attachment name a.exe"),
    ] {
        assert_eq!(rule(when).matches(0, &verdict, &facts).as_deref(), Some(told), "{when}");
    }
}

#[test]
fn tm_09_body_is_blank() {
    let blank = Facts { body_blank: true, ..Facts::default() };
    check("body_blank = true", &blank, &Facts::default());
}

#[test]
fn tm_09_attachment_contains_active_content() {
    let (active, plain) = ([AttachmentFact { active: true, ..file("a.docm") }], [file("a.docx")]);
    let facts = |attachments| Facts { attachments, ..Facts::default() };
    check("attachment_active = true", &facts(&active), &facts(&plain));
    assert_eq!(
        rule("attachment_active = true").reason(),
        Reason::Content,
        "TM-09: of the group Content"
    );
}

#[test]
fn tm_09_number_of_recipients_50_and_51() {
    let facts = |recipients| Facts { recipients, ..Facts::default() };
    check("recipients_more_than = 50", &facts(51), &facts(50));
}

#[test]
fn tm_09_message_size_at_the_limit() {
    let facts = |message_bytes| Facts { message_bytes, ..Facts::default() };
    check("larger_than_bytes = 10485760", &facts(10_485_761), &facts(10_485_760));
}

#[test]
fn tm_09_attachment_file_name_or_extension() {
    let (exe, txt) = ([file("報告書.EXE")], [file("exe.txt")]);
    let facts = |attachments| Facts { attachments, ..Facts::default() };
    check("attachment_name = [\"*.exe\", \"*.scr\"]", &facts(&exe), &facts(&txt));
    // Clients differ in which name they believe, and Windows drops dots and blanks at the end.
    let second = [AttachmentFact { other_names: vec!["a.exe".to_owned()], ..file("a.txt") }];
    check("attachment_name = [\"*.exe\"]", &facts(&second), &facts(&txt));
    for name in ["a.exe.", "a.exe . ", "a\u{202e}.e\u{200f}xe"] {
        let program = [file(name)];
        let facts = Facts { attachments: &program, ..Facts::default() };
        assert!(holds("attachment_name = [\"*.exe\"]", &facts), "{name:?}");
    }
}

#[test]
fn tm_09_attachment_mime_type() {
    let of = |content_type: &str, true_type: &str| {
        [AttachmentFact {
            content_type: content_type.into(),
            true_type: true_type.into(),
            ..file("a")
        }]
    };
    let (declared, only_true) = (of("application/zip", "pe"), of("text/plain", "zip"));
    let facts = |attachments| Facts { attachments, ..Facts::default() };
    check("attachment_mime = [\"application/zip\"]", &facts(&declared), &facts(&only_true));
}

#[test]
fn tm_09_attachment_true_file_type() {
    let of = |true_type: &str| {
        let content_type = "image/png".into();
        [AttachmentFact { content_type, true_type: true_type.into(), ..file("a.png") }]
    };
    let (program, image) = (of("pe"), of("image"));
    let facts = |attachments| Facts { attachments, ..Facts::default() };
    check("attachment_true_type = [\"pe\", \"elf\"]", &facts(&program), &facts(&image));
}

#[test]
fn tm_09_attachment_size_at_the_limit() {
    let of = |bytes| [AttachmentFact { bytes, ..file("a") }];
    let (over, at) = (of(5_242_881), of(5_242_880));
    let facts = |attachments| Facts { attachments, ..Facts::default() };
    check("attachment_larger_than_bytes = 5242880", &facts(&over), &facts(&at));
}

#[test]
fn tm_09_number_of_attachments_20_and_21() {
    let facts = |attachments_count| Facts { attachments_count, ..Facts::default() };
    check("attachments_more_than = 20", &facts(21), &facts(20));
}

#[test]
fn tm_08_password_protected_attachment_is_a_scan_exception() {
    let (locked, open) = ([AttachmentFact { encrypted: true, ..file("a.zip") }], [file("a.zip")]);
    let facts = |attachments| Facts { attachments, ..Facts::default() };
    check("attachment_encrypted = true", &facts(&locked), &facts(&open));
    assert_eq!(rule("attachment_encrypted = true").reason(), Reason::ScanException);
}

#[test]
fn tm_08_no_criteria_content_and_attachment_are_reasons() {
    assert!(holds("", &Facts::default()));
    assert_eq!(rule("").reason(), Reason::NoCriteria);
    assert_eq!(rule("subject_blank = true").reason(), Reason::Content);
    assert_eq!(rule("attachment_name = [\"*.exe\"]").reason(), Reason::Attachment);
}

#[test]
fn client_authentication_time_and_senders() {
    let client = |text: &str| Facts { client: text.parse().ok(), ..Facts::default() };
    check(
        "client = [\"192.0.2.0/24\", \"2001:db8::1\"]",
        &client("::ffff:192.0.2.9"),
        &client("198.51.100.1"),
    );
    let evidence = |outcome| [AuthEvidence { method: AuthMethod::Spf, outcome }];
    let (fail, soft) = (evidence(AuthOutcome::Fail), evidence(AuthOutcome::SoftFail));
    check(
        "auth = [\"spf.fail\", \"dmarc.reject\"]",
        &Facts { auth: &fail, ..Facts::default() },
        &Facts { auth: &soft, ..Facts::default() },
    );
    // Friday 27 November 2026, 23:30 and 21:30 in Japan.
    let at = |seconds: u64| Facts { at: UnixMillis(seconds * 1000), ..Facts::default() };
    let night = "time = { from = \"22:00\", to = \"06:00\", days = [\"fri\"] }";
    check(night, &at(1_795_789_800), &at(1_795_782_600));
    // Until Saturday 05:59, not on Saturday night.
    check(night, &at(1_795_813_140), &at(1_795_876_200));
    let (sender, other) = (mailbox("a@sub.example.com"), mailbox("a@example.com"));
    let from = |sender| Facts { sender: Some(sender), ..Facts::default() };
    check("sender = [\"*@*.example.com\"]", &from(&sender), &from(&other));
}

#[test]
fn iij_76_likelihood_classes_and_reasons() {
    let settings = preset(Profile::IijSecureMx);
    let suspected = verdict(&[finding(FindingKind::Spam, 4_000)], &settings, ListDecision::None);
    let spam = verdict(&[spam()], &settings, ListDecision::None);
    for (when, of_spam, of_suspected) in [
        ("likelihood = [\"HIGH\"]", true, false),
        ("likelihood = [\"MEDIUM\", \"LOW\"]", false, true),
        ("class = [\"spam\"]", true, false),
        ("class = [\"unsure\"]", false, true),
        ("reason = [\"spam\"]", true, true),
        ("reason = [\"malware\"]", false, false),
    ] {
        let rule = rule(when);
        assert_eq!(rule.matches(0, &spam, &Facts::default()).is_some(), of_spam, "{when}");
        assert_eq!(
            rule.matches(0, &suspected, &Facts::default()).is_some(),
            of_suspected,
            "{when}"
        );
    }
}

#[test]
fn conditions_are_put_together_by_all_or_any() {
    let both = "subject_blank = true\nbody_blank = true";
    let facts = |body_blank| Facts { body_blank, ..Facts::default() };
    check(both, &facts(true), &facts(false));
    assert!(holds(&format!("match = \"any\"\n{both}"), &facts(false)));
    assert!(!holds("match = \"any\"\nsubject_blank = false\nbody_blank = true", &facts(false)));
}

#[test]
fn what_matched_where_is_told() {
    let settings = preset(Profile::IijSecureMx);
    let verdict = verdict(&[], &settings, ListDecision::None);
    let exe = [file("a.exe")];
    let facts = Facts { attachments: &exe, recipients: 51, ..Facts::default() };
    let rule = rule("attachment_name = [\"*.exe\"]\nrecipients_more_than = 50");
    let told = rule.matches(0, &verdict, &facts).expect("it does");
    assert_eq!(told, "recipients 51 > 50; attachment name a.exe");
}
