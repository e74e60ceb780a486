//! Mails of our own, in the forms of today: phishing reaches the threshold by its shape, with the starter rules beside it, and
//! mail in the same words and colours from those whom it is from does not come near.
//!
//! The sender's checks are taken as they mostly are: throw-away domains publish SPF and pass it, so nothing is added for them;
//! who forges a brand's own domain is vouched for by nobody.

use super::*;
use crate::classify::Reading;
use crate::scan::finding::Finding;
use crate::scan::patterns::{BuildReport, PatternSource, Patterns, SourceFormat, build};
use crate::verdict::{
    self, ImpersonationSettings, ListDecision, MainClass, Person, Verdict, Way, Weights,
};

#[derive(serde::Deserialize)]
struct Mails {
    phishing: Vec<Mail>,
    legitimate: Vec<Mail>,
}

fn mails() -> Mails {
    toml::from_str(include_str!("posing.toml")).unwrap()
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Mail {
    name: String,
    from: String,
    subject: String,
    language: String,
    url: String,
    shown: String,
    html: String,
    newsletter: String,
    foot: String,
    text: String,
    /// Further header fields.
    fields: Vec<String>,
    esp: bool,
    forged: bool,
}

/// Fields of a service for newsletters.
const ESP: &str = "List-Unsubscribe: <https://u12345.ct.sendgrid.net/wf/unsubscribe?upn=abc>\r\n\
    List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: 12345:SG\r\nX-SG-EID: abcdef\r\n";

impl Mail {
    fn page(&self) -> String {
        let link = format!("<p><a href=\"{}\">{}</a></p>", self.url, self.shown);
        match (&*self.language, &*self.newsletter) {
            ("ja", _) => format!(
                "<p>いつもご利用いただきありがとうございます。</p>{link}<p>お客様センター</p>"
            ),
            ("en", _) => format!(
                "<p>Dear Customer,</p><p>Please see the details below.</p>{link}<p>Thank you.</p>"
            ),
            (_, "") => self.html.clone(),
            (_, place) => {
                let item = |number: usize| {
                    let mark = format!("u001.Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg{number}");
                    let picture = "<img src=\"https://cdn.shop.example/a.jpg\">";
                    format!("<a href=\"{place}/ls/click?upn={mark}\">{picture}おすすめ商品</a>")
                };
                let items: String = (0..10).map(item).collect();
                format!(
                    "<div style=\"display:none\">今週&zwnj;&nbsp;&zwnj;</div>{items}<p>{}</p>",
                    self.foot
                )
            }
        }
    }

    fn raw(&self) -> Vec<u8> {
        let domain = self.from.rsplit('@').next().unwrap_or_default().trim_end_matches('>');
        let more: String = self.fields.iter().map(|field| format!("{field}\r\n")).collect();
        let esp = if self.esp { ESP } else { "" };
        let (kind, body) = match (&*self.page(), &*self.text) {
            ("", text) => ("plain", text.to_owned()),
            (page, _) => ("html", format!("<html><body>{page}</body></html>")),
        };
        format!(
            "Received: from mail.{domain} by mx.example.co.jp; Mon, 06 Jul 2026 09:00:05 +0900\r\n\
             From: {}\r\nTo: taro@example.co.jp\r\nSubject: {}\r\n\
             Date: Mon, 06 Jul 2026 09:00:00 +0900\r\nMessage-ID: <1@mail.{domain}>\r\n\
             MIME-Version: 1.0\r\n{more}{esp}Content-Type: text/{kind}; charset=utf-8\r\n\r\n{body}\r\n",
            self.from, self.subject
        )
        .into_bytes()
    }
}

fn starter_rules() -> Patterns {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/rules");
    let mut paths = Vec::new();
    files_below(&here, &mut paths);
    let source = |path: &PathBuf| {
        let name = path.display().to_string();
        let format = SourceFormat::of_path(&name)?;
        Some(PatternSource { octets: std::fs::read(path).unwrap(), path: name, format })
    };
    let sources: Vec<PatternSource> = paths.iter().filter_map(source).collect();
    Patterns::open(&build(&sources, &mut BuildReport::default()).unwrap().0).unwrap()
}

struct Judge {
    patterns: Patterns,
    scratch: patterns::Scratch,
    settings: ImpersonationSettings,
}

impl Judge {
    fn new() -> Self {
        let patterns = starter_rules();
        let scratch = patterns.scratch().unwrap();
        let persons = vec![Person { name: "鈴木 一郎".into(), addresses: Vec::new() }];
        let settings = ImpersonationSettings { persons, ..ImpersonationSettings::default() };
        Self { patterns, scratch, settings }
    }

    /// The verdict, and the points of signs and impersonation alone.
    fn judge(&mut self, mail: &Mail) -> (Verdict, i32) {
        let raw = mail.raw();
        let view = View::build(&raw, &ViewLimits::shard());
        let tables = ScanTables {
            patterns: Some(&self.patterns),
            hash: None,
            url_host: None,
            reading: Reading::Nothing,
            content: &[],
            yara: None,
        };
        let look = examine(&view, &tables, &mut self.scratch, None, &async || ());
        let seen = futures_lite::future::block_on(look).unwrap();
        let way = Way {
            recipient_domains: ["example.co.jp", "example.co.jp"],
            envelope_domain: "",
            vouched: Some(!mail.forged),
            known_client: false,
        };
        let posing = verdict::impersonation(&seen.facts.sender, &way, &self.settings);
        let ours = |found: &&Finding| {
            found.kind != FindingKind::Graymail
                && SIGNS.iter().any(|sign| sign.name == &*found.rule)
        };
        let own: i32 =
            seen.findings.iter().filter(ours).chain(&posing).map(|found| found.points).sum();
        let mut findings = seen.findings;
        findings.extend(posing);
        (verdict::judge(&findings, &[], &Weights::default(), ListDecision::None), own)
    }
}

fn words(verdict: &Verdict) -> String {
    let parts = verdict.contributions.iter().filter(|one| one.points != 0);
    parts.map(|one| format!("{}={}", one.rule, one.points)).collect::<Vec<_>>().join(" ")
}

/// Issue 4: what does not age must carry the verdict. Today's phishing is held by its shape; the figure without any rule over
/// text is held, too.
#[test]
fn phishing_of_today_is_held_and_mail_from_those_it_poses_as_is_not() {
    let mut judge = Judge::new();
    let (mut wrong, mut alone) = (Vec::new(), 0);
    let Mails { phishing, legitimate } = mails();
    for mail in &phishing {
        let (verdict, own) = judge.judge(mail);
        alone += usize::from(own >= 5_000);
        eprintln!("{} {} own {own} {}", mail.name, verdict.points, words(&verdict));
        if verdict.points < 5_000 || verdict.main_class != MainClass::Phish {
            wrong.push(format!("{}: {} {}", mail.name, verdict.points, words(&verdict)));
        }
    }
    for mail in &legitimate {
        let (verdict, _) = judge.judge(mail);
        eprintln!("{} {} {}", mail.name, verdict.points, words(&verdict));
        if verdict.points >= 3_000 {
            wrong.push(format!("{}: {} {}", mail.name, verdict.points, words(&verdict)));
        }
    }
    eprintln!("{alone} of {} without any rule over text", phishing.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(alone * 4 >= phishing.len() * 3, "{alone} of {}", phishing.len());
}

/// TM-09: graymail has a class of its own; what is sent for one reader, and what people write to each other, is none.
#[test]
fn tm_09_graymail_is_bulk_mail_and_nothing_else() {
    let mut judge = Judge::new();
    let wanted = ["esp-ja", "esp-en", "esp-shown", "rakuten-news", "amazon-marketing-subject"];
    let Mails { phishing, legitimate } = mails();
    for mail in &legitimate {
        let (verdict, _) = judge.judge(mail);
        let gray = verdict.has(verdict::DetectionKind::Graymail);
        assert_eq!(gray, wanted.contains(&&*mail.name), "{}: {}", mail.name, words(&verdict));
    }
    for mail in &phishing {
        let (verdict, _) = judge.judge(mail);
        assert!(!verdict.has(verdict::DetectionKind::Graymail), "{}", mail.name);
    }
}
