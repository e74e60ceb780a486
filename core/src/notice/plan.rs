//! Who gets which notice about one mail.

use crate::envelope::Mailbox;
use crate::policy::{Action, Language, NamedList, NoticeAsk, NoticeSettings, NoticeTo};

/// Notices that one mail causes, at most.
pub const TOLD_MAX: usize = 100;

/// What was decided for one recipient, and who wants to know.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The recipient.
    pub recipient: &'a Mailbox,
    /// Its domain, as tables know it.
    pub domain: &'a str,
    /// That domain's settings.
    pub settings: &'a NoticeSettings,
    /// Lists of mailboxes that its notices name.
    pub lists: &'a [NamedList],
    /// `primary_contact` of it.
    pub primary_contact: &'a str,
    /// Who is to be told.
    pub asks: &'a [NoticeAsk],
    /// What happens to the mail.
    pub action: Action,
    /// Why, by its key; empty if there is no reason.
    pub reason: &'a str,
}

/// What is known of the sender.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// MAIL FROM.
    pub mailbox: Option<&'a Mailbox>,
    /// SPF or DKIM says that it is him.
    pub verified: bool,
    /// A machine sent it: nobody reads what is sent back (RFC 3834 section 2).
    pub automatic: bool,
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// To whom it goes.
    pub to: Mailbox,
    /// Name of its template.
    pub template: Box<str>,
    /// In which language.
    pub language: Language,
    /// `From:`; empty = ours.
    pub from: Box<str>,
    /// The domain that it is about.
    pub domain: Box<str>,
    /// Rules that asked for it.
    pub rules: Vec<Box<str>>,
    /// Recipients that it is about.
    pub recipients: Vec<String>,
    /// What happened to their mail.
    pub actions: Vec<Action>,
    /// Why, by keys.
    pub reasons: Vec<Box<str>>,
    /// Notices of an hour to this address, and about this domain.
    pub hourly_max: (u16, u16),
}

/// All notices about a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// At most [`TOLD_MAX`].
    pub told: Vec<Told>,
    /// Asks that no notice came of: there is no address, it must not be told, or there are too many.
    pub left_out: u64,
}

/// Plans the notices of one mail.
#[must_use]
pub fn plan<'a>(abouts: impl IntoIterator<Item = About<'a>>, sender: &Sender<'_>) -> Planned {
    let mut planned = Planned::default();
    for about in abouts {
        for ask in about.asks {
            let addresses = addresses(&about, ask, sender);
            if addresses.is_empty() {
                planned.left_out += 1;
            }
            for to in addresses {
                planned.add(&about, ask, to);
            }
        }
    }
    planned
}

impl Planned {
    fn add(&mut self, about: &About<'_>, ask: &NoticeAsk, to: Mailbox) {
        let same = |told: &&mut Told| {
            told.to == to && told.template == ask.template && &*told.domain == about.domain
        };
        if let Some(told) = self.told.iter_mut().find(same) {
            told.note(about, ask);
        } else if self.told.len() == TOLD_MAX {
            self.left_out += 1;
        } else {
            let mut told = Told {
                to,
                template: ask.template.clone(),
                language: about.settings.language,
                from: about.settings.from.clone(),
                domain: about.domain.into(),
                rules: Vec::new(),
                recipients: Vec::new(),
                actions: Vec::new(),
                reasons: Vec::new(),
                hourly_max: (about.settings.address_hourly_max, about.settings.domain_hourly_max),
            };
            told.note(about, ask);
            self.told.push(told);
        }
    }
}

impl Told {
    fn note(&mut self, about: &About<'_>, ask: &NoticeAsk) {
        let recipient = about.recipient.to_path();
        if !self.recipients.contains(&recipient) {
            self.recipients.push(recipient);
        }
        if !self.rules.contains(&ask.rule) {
            self.rules.push(ask.rule.clone());
        }
        if !self.actions.contains(&about.action) {
            self.actions.push(about.action);
        }
        if !about.reason.is_empty() && !self.reasons.iter().any(|one| &**one == about.reason) {
            self.reasons.push(about.reason.into());
        }
    }
}

/// The addresses that an ask means.
fn addresses(about: &About<'_>, ask: &NoticeAsk, sender: &Sender<'_>) -> Vec<Mailbox> {
    let settings = about.settings;
    let written = |all: &[Box<str>]| all.iter().filter_map(|text| mailbox(text)).collect();
    match &ask.to {
        NoticeTo::Recipient => vec![about.recipient.clone()],
        NoticeTo::Sender => {
            let known = sender.verified || settings.unverified_senders;
            let told = sender.mailbox.filter(|_| known && !sender.automatic);
            told.cloned().into_iter().collect()
        }
        NoticeTo::Administrator if settings.administrators.is_empty() => {
            mailbox(about.primary_contact).into_iter().collect()
        }
        NoticeTo::Administrator => written(&settings.administrators),
        NoticeTo::List(name) => {
            let list = about.lists.iter().find(|list| list.name == *name);
            list.map(|list| written(&list.mailboxes)).unwrap_or_default()
        }
    }
}

/// An address of the settings, where it was checked already.
fn mailbox(text: &str) -> Option<Mailbox> {
    let (local, domain) = text.rsplit_once('@')?;
    let domain = idna::domain_to_ascii(domain).ok()?;
    Some(Mailbox::new(local, &domain.to_ascii_lowercase()))
}
