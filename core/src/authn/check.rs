//! One message, all checks, on a side thread.

use std::net::IpAddr;

use futures_lite::future::zip;
use hickory_resolver::TokioResolver;
use mail_auth::dkim::Signature;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError,
    Error, MessageAuthenticator, Parameters, SpfOutput, SpfResult,
};

use tokio::time::{Instant, timeout_at};

use super::names::{Answer, Names};
use super::threads::SpfChecks;
use super::{
    ArcCheck, ArcSealer, AuthResult, Authentication, DkimCheck, DmarcCheck, DmarcPolicy, Identity,
    ReverseCheck, SpfCheck, check_spf,
};
use crate::limits::AUTHOR_DOMAINS_MAX;

/// Signatures that are verified, from the top: the sender chooses how many there are, and each is a look-up and a
/// calculation with a key of his choice.
pub(super) const SIGNATURES_MAX: usize = 10;
/// Names of an address that are looked up again.
const REVERSE_NAMES_MAX: usize = 4;

/// Who is checked. `domain` of MAIL FROM in A-labels; empty for the null reverse-path.
#[derive(Debug)]
pub(super) struct Whom<'w> {
    pub(super) ip: IpAddr,
    pub(super) helo: &'w str,
    /// MAIL FROM without brackets; empty for the null reverse-path.
    pub(super) sender: &'w str,
    /// Domains that the mail may be from.
    pub(super) author_domains: &'w [Box<str>],
    pub(super) receiver: &'w str,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl Whom<'_> {
    fn helo_identity<'w>(&'w self, postmaster: &'w str, domain: &'w str) -> Identity<'w> {
        Identity {
            ip: self.ip,
            helo: self.helo,
            sender: postmaster,
            domain,
            receiver: self.receiver,
            now: self.now,
        }
    }
}

/// SPF of MAIL FROM and HELO. The null reverse-path has only HELO (RFC 7208 section 2.4).
pub(super) async fn spf<N: Names>(names: &N, whom: &Whom<'_>) -> SpfChecks {
    let domain = ascii(whom.helo);
    let postmaster = format!("postmaster@{domain}");
    let helo = check_spf(names, whom.helo_identity(&postmaster, &domain));
    let Some((_, sender_domain)) = whom.sender.rsplit_once('@') else {
        return (helo.await, None);
    };
    let sender_domain = ascii(sender_domain);
    let identity = Identity {
        sender: whom.sender,
        domain: &sender_domain,
        ..whom.helo_identity(&postmaster, &domain)
    };
    let (helo, mail_from) = zip(helo, check_spf(names, identity)).await;
    (mail_from, Some(helo))
}

/// A message as mail-auth sees it, with as many signatures as are verified. `None`: it has no header section.
pub(super) fn read(octets: &[u8], now: u64) -> Option<AuthenticatedMessage<'_>> {
    let mut message = AuthenticatedMessage::parse(octets)?;
    by_our_clock(&mut message, now);
    Some(message)
}

/// Everything about one message, each part of it as far as it is known at `until`. `spf_known`: what was found out at
/// RCPT. `true`: somebody answered. That one did not is what a sender can choose.
pub(super) async fn message(
    resolver: &TokioResolver,
    whom: &Whom<'_>,
    parsed: Option<&AuthenticatedMessage<'_>>,
    spf_known: Option<SpfChecks>,
    until: Instant,
) -> (Authentication, bool) {
    let authenticator = MessageAuthenticator(resolver.clone());
    let early = before(until);
    let spf = async {
        match spf_known {
            Some(known) => Ok(known),
            None => timeout_at(early, spf(resolver, whom)).await,
        }
    };
    let reverse = timeout_at(early, reverse(resolver, whom.ip));
    let apart = parsed.map(one_by_one).unwrap_or_default();
    let dkim = signatures(&authenticator, &apart, early);
    let arc = async {
        let Some(parsed) = parsed else { return Ok(ArcOutput::default()) };
        timeout_at(early, authenticator.verify_arc(Parameters::new(parsed))).await
    };
    let (clients, signed) = (zip(spf, reverse), zip(dkim, arc));
    let ((spf, reverse), (dkim, arc)) = Box::pin(zip(clients, signed)).await;
    let (dkim, dkim_answered) = dkim;
    let answered = spf.is_ok() || reverse.is_ok() || dkim_answered;
    let (spf, helo) = spf.unwrap_or_else(|_| no_spf(whom.sender, whom.helo));
    let mut all = Authentication { spf, helo, ..Authentication::unanswered() };
    if let Ok(reverse) = reverse {
        all.reverse = reverse;
    }
    all.arc = arc.as_ref().map_or_else(|_| late_arc(), arc_check);
    all.dkim = dkim.iter().take(SIGNATURES_MAX).map(dkim_check).collect();
    if all.dkim.is_empty() && parsed.is_some_and(is_signed) {
        // Without what it needs, `mail_auth` takes it for no signature at all.
        let reason = "a signature that cannot be read".into();
        all.dkim.push(DkimCheck { result: AuthResult::PermError, reason, ..DkimCheck::default() });
    }
    let (dmarc, dmarc_answered) =
        Box::pin(dmarc_of_all(&authenticator, whom.author_domains, (&dkim, &all.spf), until)).await;
    all.dmarc = dmarc;
    (all, answered || dmarc_answered)
}

fn is_signed(message: &AuthenticatedMessage<'_>) -> bool {
    message.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"DKIM-Signature"))
}

/// When what DMARC follows from has to be known, so that there is time left for it: a sender chooses how long his own names
/// take, and must not choose that the author's domain is not asked.
fn before(until: Instant) -> Instant {
    let left = until.saturating_duration_since(Instant::now());
    until.checked_sub(left / 3).unwrap_or(until)
}

/// The message once for each signature: mail-auth asks for the keys of one message one after the other, so that one domain
/// whose DNS is silent would take the time of all others. Before them those that cannot be read.
fn one_by_one<'m>(message: &AuthenticatedMessage<'m>) -> Vec<AuthenticatedMessage<'m>> {
    let plain = || AuthenticatedMessage {
        headers: message.headers.clone(),
        from: message.from.clone(),
        raw_message: message.raw_message,
        body_offset: message.body_offset,
        body_hashes: message.body_hashes.clone(),
        ..AuthenticatedMessage::default()
    };
    let one = |signature: &mail_auth::common::headers::Header<'m, Signature>| {
        AuthenticatedMessage { dkim_headers: vec![signature.clone()], ..plain() }
    };
    let mut all: Vec<AuthenticatedMessage<'m>> = message.dkim_headers.iter().map(one).collect();
    if !message.errors.is_empty() {
        let errors = message.errors.clone();
        all.insert(0, AuthenticatedMessage { errors, ..plain() });
    }
    all
}

/// Every signature, all at the same time; one without an answer until then has `temperror`. `true`: there was an answer.
async fn signatures<'m>(
    authenticator: &MessageAuthenticator,
    apart: &'m [AuthenticatedMessage<'m>],
    until: Instant,
) -> (Vec<DkimOutput<'m>>, bool) {
    let one = |message: &'m AuthenticatedMessage<'m>| async move {
        let verified = authenticator.verify_dkim(Parameters::new(message));
        match timeout_at(until, verified).await {
            Ok(done) => (done, true),
            Err(_) => {
                let late = || Error::Dns(DnsError::Resolver("no answer in time".to_owned()));
                let signatures = message.dkim_headers.iter().map(|field| &field.header);
                let late = signatures.map(|one| DkimOutput::temp_err(late()).with_signature(one));
                (late.collect(), false)
            }
        }
    };
    let done = futures_util::future::join_all(apart.iter().map(one)).await;
    let answered = done.iter().any(|(_, in_time)| *in_time);
    (done.into_iter().flat_map(|(done, _)| done).collect(), answered)
}

/// DMARC of every domain that a reader may take the mail to be from: the strictest of what they come to (RFC 7489 section
/// 6.6.1). `true`: there was an answer.
async fn dmarc_of_all(
    authenticator: &MessageAuthenticator,
    domains: &[Box<str>],
    (dkim, spf): (&[DkimOutput<'_>], &SpfCheck),
    until: Instant,
) -> (DmarcCheck, bool) {
    let asked = domains.get(..AUTHOR_DOMAINS_MAX).unwrap_or(domains);
    let one = async |domain: Box<str>| {
        let checked = timeout_at(until, dmarc(authenticator, &domain, dkim, spf)).await;
        let late = DmarcCheck { result: AuthResult::TempError, domain, ..DmarcCheck::default() };
        checked.map_or((late, false), |checked| (checked, true))
    };
    let mut done = futures_util::future::join_all(asked.iter().cloned().map(one)).await;
    if asked.len() < domains.len() {
        let too_many = DmarcCheck { result: AuthResult::PermError, ..DmarcCheck::default() };
        done.push((too_many, false));
    }
    let answered = done.iter().any(|(_, in_time)| *in_time);
    let several = done.len() > 1;
    let strictest = done.into_iter().map(|(check, _)| check).max_by_key(strictness);
    (DmarcCheck { several, ..strictest.unwrap_or_default() }, answered)
}

/// Which of several results counts.
fn strictness(check: &DmarcCheck) -> (u8, DmarcPolicy) {
    match check.result {
        AuthResult::Fail => (4, check.policy),
        AuthResult::TempError => (3, DmarcPolicy::None),
        AuthResult::PermError => (2, DmarcPolicy::None),
        AuthResult::Pass => (0, DmarcPolicy::None),
        AuthResult::None | AuthResult::Neutral | AuthResult::Policy | AuthResult::SoftFail => {
            (1, DmarcPolicy::None)
        }
    }
}

/// The answer about SPF when there is none in time: of both names, as [`spf`] gives them.
pub(super) fn no_spf(sender: &str, helo: &str) -> SpfChecks {
    let late = |domain: &str| {
        let domain = ascii(domain).to_ascii_lowercase().into();
        SpfCheck { result: AuthResult::TempError, domain, ..SpfCheck::default() }
    };
    match sender.rsplit_once('@') {
        Some((_, domain)) => (late(domain), Some(late(helo))),
        None => (late(helo), None),
    }
}

fn late_arc() -> ArcCheck {
    ArcCheck { result: AuthResult::TempError, ..ArcCheck::default() }
}

/// mail-auth reads the system's clock. Whether a signature has expired is decided here, by the time that we were given:
/// one that has not is made to have no end, one that has is made to have ended long ago. What is hashed are the octets of
/// the field, so this changes nothing else.
fn by_our_clock(message: &mut AuthenticatedMessage<'_>, now: u64) {
    message.dkim_headers.truncate(SIGNATURES_MAX);
    message.errors.truncate(SIGNATURES_MAX);
    for signature in message.dkim_headers.iter_mut().map(|field| &mut field.header) {
        (signature.t, signature.x) = times(signature.t, signature.x, now);
    }
    for signature in message.ams_headers.iter_mut().map(|field| &mut field.header) {
        (signature.t, signature.x) = times(signature.t, signature.x, now);
    }
}

fn times(signed: u64, expires: u64, now: u64) -> (u64, u64) {
    let ended = expires != 0 && (expires <= signed || expires <= now);
    if ended { (1, 1) } else { (signed, 0) }
}

async fn dmarc(
    authenticator: &MessageAuthenticator,
    author_domain: &str,
    dkim: &[DkimOutput<'_>],
    spf: &SpfCheck,
) -> DmarcCheck {
    let result = match spf.result {
        AuthResult::Pass => SpfResult::Pass,
        AuthResult::TempError => SpfResult::TempError,
        AuthResult::Fail => SpfResult::Fail,
        _ => SpfResult::None,
    };
    let spf_output = SpfOutput::new(spf.domain.to_string()).with_result(result);
    // RFC 8301: who accepts rsa-sha1 accepts forgeries.
    let strong: Vec<DkimOutput<'_>> =
        dkim.iter().filter(|one| !one.signature().is_some_and(weak)).cloned().collect();
    // Who the author is was read by one reader for everybody: what mail-auth does not read would have no policy.
    let message = AuthenticatedMessage {
        from: vec![format!("author@{author_domain}")],
        ..AuthenticatedMessage::default()
    };
    let parameters = DmarcParameters {
        message: &message,
        dkim_output: &strong,
        dkim2_output: None,
        rfc5321_mail_from_domain: &spf.domain,
        spf_output: &spf_output,
    };
    dmarc_check(&authenticator.verify_dmarc(Parameters::new(parameters)).await)
}

fn dmarc_check(output: &DmarcOutput) -> DmarcCheck {
    let (spf_aligned, dkim_aligned) =
        (*output.spf_result() == DmarcResult::Pass, *output.dkim_result() == DmarcResult::Pass);
    DmarcCheck {
        result: match output.result() {
            DmarcResult::Pass => AuthResult::Pass,
            DmarcResult::Fail(_) => AuthResult::Fail,
            DmarcResult::TempError(_) => AuthResult::TempError,
            DmarcResult::PermError(_) => AuthResult::PermError,
            DmarcResult::None => AuthResult::None,
        },
        domain: output.domain().into(),
        policy: match output.policy() {
            Policy::None | Policy::Unspecified => DmarcPolicy::None,
            Policy::Quarantine => DmarcPolicy::Quarantine,
            Policy::Reject => DmarcPolicy::Reject,
        },
        spf_aligned,
        dkim_aligned,
        by_arc: None,
        several: false,
    }
}

fn weak(signature: &Signature) -> bool {
    signature.a == mail_auth::common::crypto::Algorithm::RsaSha1
}

fn dkim_check(output: &DkimOutput<'_>) -> DkimCheck {
    let (mut result, mut reason) = of_dkim(output.result());
    if result == AuthResult::Pass && output.signature().is_some_and(weak) {
        (result, reason) = (AuthResult::Policy, "rsa-sha1".into());
    }
    let signature = output.signature();
    DkimCheck {
        result,
        domain: signature.map_or("", |signature| &signature.d).into(),
        selector: signature.map_or("", |signature| &signature.s).into(),
        algorithm: signature.map_or("", |signature| algorithm(signature)).into(),
        reason,
    }
}

fn algorithm(signature: &Signature) -> &'static str {
    use mail_auth::common::crypto::Algorithm;
    match signature.a {
        Algorithm::RsaSha1 => "rsa-sha1",
        Algorithm::RsaSha256 => "rsa-sha256",
        Algorithm::Ed25519Sha256 => "ed25519-sha256",
    }
}

/// RFC 8601 section 2.7.1. A hash or a key that does not fit is "fail"; "neutral" is for what cannot be read.
fn of_dkim(result: &DkimResult) -> (AuthResult, Box<str>) {
    use mail_auth::dkim::DkimError;
    let (result, error) = match result {
        DkimResult::Pass => return (AuthResult::Pass, "".into()),
        DkimResult::None => return (AuthResult::None, "".into()),
        DkimResult::Neutral(error @ Error::Dkim(DkimError::FailedBodyHashMatch)) => {
            (AuthResult::Fail, error)
        }
        DkimResult::Neutral(error) => (AuthResult::Neutral, error),
        DkimResult::Fail(error) => (AuthResult::Fail, error),
        DkimResult::PermError(error) => (AuthResult::PermError, error),
        DkimResult::TempError(error) => (AuthResult::TempError, error),
    };
    (result, error.to_string().into())
}

fn arc_check(output: &ArcOutput<'_>) -> ArcCheck {
    let (result, reason) = match output.result() {
        DkimResult::Pass => (AuthResult::Pass, "".into()),
        DkimResult::None => (AuthResult::None, "".into()),
        DkimResult::TempError(error) => (AuthResult::TempError, error.to_string()),
        // Whatever is wrong with a chain, it has failed (RFC 8617 section 5.2).
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
            (AuthResult::Fail, error.to_string())
        }
    };
    let sealer = |set: &mail_auth::arc::Set<'_>| {
        let (dmarc, author) = stated_dmarc(set.results.value);
        ArcSealer { domain: set.seal.header.d.as_str().into(), dmarc, author }
    };
    let sealers = output.sets().iter().map(sealer).collect();
    ArcCheck { result, sealers, reason: reason.into() }
}

/// The result of DMARC in a field of Authentication-Results, and the author's domain that it is about (RFC 8601 section 2.2). A
/// sender chooses what stands in quoted strings and comments. Of several statements the worst counts.
pub(super) fn stated_dmarc(field: &[u8]) -> (AuthResult, Option<Box<str>>) {
    let text = String::from_utf8_lossy(field);
    let mut stated: Option<(AuthResult, Option<Box<str>>)> = None;
    for statement in statements(&text).iter().skip(1) {
        let mut pairs = statement.iter().filter_map(|word| word.split_once('='));
        let Some((method, value)) = pairs.next() else { continue };
        // A version may follow the method.
        if method.split('/').next() != Some("dmarc") {
            continue;
        }
        let result = match value {
            "pass" => AuthResult::Pass,
            "fail" => AuthResult::Fail,
            "temperror" => AuthResult::TempError,
            "permerror" => AuthResult::PermError,
            _ => AuthResult::None,
        };
        let author = pairs.find(|(name, _)| *name == "header.from").map(|(_, domain)| domain);
        if stated.as_ref().is_none_or(|(before, _)| *before == AuthResult::Pass) {
            stated = Some((result, author.map(Into::into)));
        }
    }
    stated.unwrap_or_default()
}

/// What stands between the semicolons of a field, in lower case: words without comments, `a = b` as one, quoted strings without
/// their quotes and without what would part words.
fn statements(text: &str) -> Vec<Vec<String>> {
    let (mut all, mut word) = (vec![Vec::new()], String::new());
    let (mut depth, mut quoted) = (0_u32, false);
    let end = |word: &mut String, all: &mut Vec<Vec<String>>| {
        if let Some(last) = all.last_mut().filter(|_| !word.is_empty()) {
            last.push(std::mem::take(word));
        }
    };
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('\\', _) if quoted || depth > 0 => {
                let next = characters.next().filter(|_| depth == 0);
                word.extend(
                    next.filter(|next| !parts(*next)).into_iter().flat_map(char::to_lowercase),
                );
            }
            ('"', _) if depth == 0 => quoted = !quoted,
            (character, true) if parts(character) => {}
            (character, true) => word.extend(character.to_lowercase()),
            ('(', false) => depth = depth.saturating_add(1),
            (')', false) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            (';', false) => {
                end(&mut word, &mut all);
                all.push(Vec::new());
            }
            (character, false) if character.is_whitespace() => {
                // "dmarc = pass" is one statement.
                let rest = characters.as_str().trim_start();
                if !word.ends_with('=') && !rest.starts_with('=') {
                    end(&mut word, &mut all);
                }
            }
            (character, false) => word.extend(character.to_lowercase()),
        }
    }
    end(&mut word, &mut all);
    all
}

/// Whether a character would part words, or a name from its value.
fn parts(character: char) -> bool {
    character.is_whitespace() || matches!(character, ';' | '=' | '"' | '(' | ')')
}

/// RFC 8601 section 3.
pub(super) async fn reverse<N: Names>(names: &N, ip: IpAddr) -> ReverseCheck {
    let ip = ip.to_canonical();
    let found = match names.names_of(ip).await {
        Answer::Found(found) => found,
        Answer::Nothing => return ReverseCheck { result: AuthResult::PermError, name: "".into() },
        Answer::Failed => return ReverseCheck { result: AuthResult::TempError, name: "".into() },
    };
    let mut result = AuthResult::Fail;
    for name in found.iter().take(REVERSE_NAMES_MAX) {
        match names.addresses(name, ip.is_ipv4()).await {
            Answer::Found(addresses) if addresses.contains(&ip) => {
                return ReverseCheck { result: AuthResult::Pass, name: name.as_str().into() };
            }
            Answer::Found(_) | Answer::Nothing => {}
            Answer::Failed => result = AuthResult::TempError,
        }
    }
    let name = found.first().map_or("", String::as_str).into();
    ReverseCheck { result, name }
}

/// A-labels; what cannot be made into them stays, and is no domain.
pub(super) fn ascii(domain: &str) -> String {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() {
        return domain.to_owned();
    }
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned())
}

/// Any record of the DNS is a key, a policy or none, and says so without a panic. 1 if it is one.
pub fn fuzz_record(record: &[u8]) -> usize {
    use mail_auth::common::parse::TxtRecordParser as _;
    let key = mail_auth::common::verify::DomainKey::parse(record).is_ok();
    usize::from(key | mail_auth::dmarc::Dmarc::parse(record).is_ok())
}

/// Any message is read for its signatures, of which there are never too many, and any field for what it says of DMARC.
/// Number of signatures.
pub fn fuzz_signed(data: &[u8]) -> usize {
    super::seal::fuzz(data);
    let Some(message) = read(data, 1_500_000_000) else { return 0 };
    assert!(message.dkim_headers.len() <= SIGNATURES_MAX);
    for (_, value) in &message.headers {
        let _ = stated_dmarc(value);
    }
    message.dkim_headers.len() + message.as_headers.len()
}
