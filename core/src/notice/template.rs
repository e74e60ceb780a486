//! Texts of notices: a subject and a body with `%TOKENS%`, in each of two languages.

use std::collections::BTreeMap;

/// A language of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tongue {
    /// Japanese.
    Ja,
    /// English.
    En,
}

impl Tongue {
    /// Both, in the order in which they stand in a mail.
    pub const ALL: [Self; 2] = [Self::Ja, Self::En];

    /// Name of its directory.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }
}

/// Octets of a template.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// The template for asks that name none, or one whose file is gone.
pub(super) const DEFAULT: &str = "policy";
/// Tokens that a template may have.
pub(super) const TOKENS: &[&str] = &[
    "ACTION",
    "ACTION_LIST",
    "ATTACHMENTS",
    "AUTHOR",
    "DATE",
    "DOMAIN",
    "FILES",
    "HOST",
    "LEFT_OUT",
    "MAIL_ID",
    "MESSAGE_ID",
    "REASON",
    "RECIPIENT",
    "RULE",
    "SENDER",
    "SIZE",
    "SUBJECT",
    "VIRUS",
];

const BUILT_IN: &[(Tongue, &str, &str)] = &[
    (Tongue::Ja, "policy", include_str!("../../data/notices/ja/policy.txt")),
    (Tongue::En, "policy", include_str!("../../data/notices/en/policy.txt")),
    (Tongue::Ja, "virus", include_str!("../../data/notices/ja/virus.txt")),
    (Tongue::En, "virus", include_str!("../../data/notices/en/virus.txt")),
    (Tongue::Ja, "virus_sender", include_str!("../../data/notices/ja/virus_sender.txt")),
    (Tongue::En, "virus_sender", include_str!("../../data/notices/en/virus_sender.txt")),
    (
        Tongue::Ja,
        "virus_administrator",
        include_str!("../../data/notices/ja/virus_administrator.txt"),
    ),
    (
        Tongue::En,
        "virus_administrator",
        include_str!("../../data/notices/en/virus_administrator.txt"),
    ),
];

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) subject: Box<str>,
    pub(super) body: Box<str>,
}

/// All texts.
#[derive(Clone, Debug)]
pub struct Templates(BTreeMap<(Tongue, Box<str>), Template>);

impl Templates {
    /// Our own and, before them, the operator's: language, name (of the file, without `.txt`) and text.
    ///
    /// # Errors
    /// The first that is wrong, and why; the operator is at fault.
    pub fn new<'t>(
        own: impl IntoIterator<Item = (Tongue, &'t str, &'t str)>,
    ) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        let built_in = BUILT_IN.iter().map(|(tongue, name, text)| (*tongue, *name, *text));
        for (tongue, name, text) in built_in.chain(own) {
            let template = Template::parse(text)
                .map_err(|why| format!("notices/{}/{name}.txt: {why}", tongue.key()))?;
            all.insert((tongue, name.into()), template);
        }
        Ok(Self(all))
    }

    /// Names of all of them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.keys().map(|(_, name)| name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The text of that name; one that is in the other language only is better than none.
    pub(super) fn get(&self, tongue: Tongue, name: &str) -> Option<&Template> {
        let other = match tongue {
            Tongue::Ja => Tongue::En,
            Tongue::En => Tongue::Ja,
        };
        let keys = [(tongue, name), (other, name), (tongue, DEFAULT)];
        keys.into_iter().find_map(|(tongue, name)| self.0.get(&(tongue, Box::from(name))))
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("{} octets, expected at most {TEMPLATE_BYTES_MAX}", text.len()));
        }
        let text = text.replace("\r\n", "\n");
        let (first, body) = text.split_once("\n\n").ok_or("no empty line after the subject")?;
        let subject = first.strip_prefix("Subject:").map(str::trim);
        let subject = subject.filter(|subject| !subject.is_empty() && !subject.contains('\n'));
        let subject = subject.ok_or("the first line is not `Subject: ...`")?;
        let unknown = tokens(&text).find(|token| !TOKENS.contains(token));
        match unknown {
            Some(token) => Err(format!("%{token}% is not known")),
            None => Ok(Self { subject: subject.into(), body: body.into() }),
        }
    }
}

/// Names between two `%`.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split('%').skip(1).filter(|part| is_token(part))
}

fn is_token(part: &str) -> bool {
    let letter = |octet: u8| octet.is_ascii_uppercase() || octet == b'_';
    !part.is_empty() && part.bytes().all(letter)
}

/// Fills the tokens in, once: a value is not looked at again.
pub(super) fn fill(text: &str, value: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match after.split_once('%') {
            Some((token, after)) if TOKENS.contains(&token) => {
                out.push_str(&value(token));
                rest = after;
            }
            _ => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
